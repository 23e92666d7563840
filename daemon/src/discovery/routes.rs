//! Domains that have servers of their own, by the configuration: their servers are vetted like all others.
//!
//! The list for all other names is not looked at here.

use std::sync::Arc;

use super::listed::Listed;
use super::survey::{CONFIGURATION, Candidate, Use};
use super::vet::Rules;
use crate::upstream::{Endpoint, Suffix};

/// A route as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RouteSettings {
    /// The domains; 1 to 64.
    pub domains: Vec<Suffix>,
    /// Asked in this order; 1 to 16.
    pub servers: Vec<Endpoint>,
    /// Whether the servers know the same names; none: Onward judges by address.
    pub equivalent: Option<bool>,
}

/// A route, vetted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundRoute {
    /// The domains.
    pub domains: Vec<Suffix>,
    /// What was named, each with whether it is used. Where none is, names under the domains are not asked of anybody.
    pub candidates: Vec<Candidate>,
    /// See [`RouteSettings::equivalent`].
    pub equivalent: Option<bool>,
}

impl FoundRoute {
    /// The servers that are asked, in order, each with what named it.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (Endpoint, Arc<str>)> {
        let used = self.candidates.iter().filter(|candidate| candidate.usage == Use::Used);
        used.map(|candidate| (candidate.endpoint(), Arc::clone(&candidate.source)))
    }
}

/// Vets the servers of all routes.
pub(super) fn vet(routes: &[RouteSettings], rules: &Rules<'_>) -> Vec<FoundRoute> {
    let source: Arc<str> = CONFIGURATION.into();
    let candidate = |endpoint: &Endpoint| {
        let Listed { server, source, line, tls_name, security, note, .. } = Listed::configured(endpoint, &source);
        let usage = rules.vet(&server).map_or_else(Use::Refused, |()| Use::Used);
        Candidate { server, source, line, tls_name, security, usage, note }
    };
    let found = routes.iter().map(|route| FoundRoute {
        domains: route.domains.clone(),
        candidates: route.servers.iter().map(candidate).collect(),
        equivalent: route.equivalent,
    });
    found.collect()
}
