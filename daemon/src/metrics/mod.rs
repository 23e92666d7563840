//! Metrics for Prometheus and its kin: [`exposition`] writes them as text, [`endpoint`] gives that text to whoever may
//! have it, over HTTP. Which metrics there are is for the service (`service/metrics_report.rs`).

pub(crate) mod endpoint;
pub(crate) mod exposition;
mod settings;

pub(crate) use settings::{Place, Settings};
