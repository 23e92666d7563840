//! TLS to upstreams: whom to trust, and telling people of a certificate that is refused.
//!
//! One configuration of rustls serves all connections, so that sessions are resumed (RFC 8446, section 2.2). It is made
//! when the first connection needs it: a node that asks nobody by TLS reads no certificates. What verifies nothing is
//! for endpoints that are not strict (RFC 8310, section 5).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Distrust, StreamError};
use crate::clock;
use crate::logging::LogEvent;
use crate::upstream::{Endpoint, Security};

/// Time for which a server whose certificate was refused is not connected to again.
const REFUSED: Duration = Duration::from_secs(1);
/// Age from which the trusted certificates are read again when one is refused: they may have changed on disk.
const TRUST_LIFE: Duration = Duration::from_secs(60);

/// Which encrypted upstreams are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What becomes of those whose certificate cannot be verified.
    pub mode: Mode,
    /// Certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// What becomes of upstreams whose certificate cannot be verified, or that have no TLS (RFC 8310, section 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are not asked.
    #[default]
    Strict,
    /// They are asked all the same, in plain text where nothing else works.
    Opportunistic,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Certificates that are trusted beside the system's.
    ca_file: Option<PathBuf>,
    configs: Option<Configs>,
    /// What was last told of each endpoint with which there is no TLS.
    refused: HashMap<Endpoint, Refused>,
}

#[derive(Debug, Clone)]
struct Configs {
    strict: Arc<ClientConfig>,
    lenient: Arc<ClientConfig>,
    made: Instant,
}

#[derive(Debug)]
struct Refused {
    text: String,
    why: StreamError,
    at: Instant,
}

impl Tls {
    /// Trusts the certificates in `ca_file` from now on, beside the system's; both are read again.
    pub(crate) fn configure(&self, ca_file: Option<&Path>) {
        let mut state = self.state();
        state.ca_file = ca_file.map(Path::to_owned);
        state.configs = None;
        state.refused.clear();
    }

    /// Why there is no use in connecting to `endpoint` now, if there is none: it was tried a moment ago.
    pub(super) fn refusal(&self, endpoint: &Endpoint, now: Instant) -> Option<StreamError> {
        let state = self.state();
        let lately = |refused: &&Refused| now.saturating_duration_since(refused.at) < REFUSED;
        state.refused.get(endpoint).filter(lately).map(|refused| refused.why)
    }

    /// Begins TLS over a connection to `endpoint`. People are told once where that fails.
    ///
    /// # Errors
    /// [`StreamError::Untrusted`] where the certificate is refused, [`StreamError::Unreachable`] for anything else.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, StreamError> {
        let Security::Tls { name, strict } = &endpoint.security else { return Err(StreamError::Unreachable) };
        let name = match name.as_deref().map(|name| ServerName::try_from(name.to_owned())) {
            Some(Ok(name)) => name,
            Some(Err(_)) => return Err(StreamError::Unreachable), // it was refused when it was read
            None => ServerName::IpAddress(endpoint.server.ip().into()),
        };
        let config = self.config(*strict)?;
        match TlsConnector::from(config).connect(name, socket).await {
            Ok(stream) => {
                self.accepted(endpoint);
                Ok(stream)
            }
            Err(error) => Err(self.refuse(endpoint, &error)),
        }
    }

    fn config(&self, strict: bool) -> Result<Arc<ClientConfig>, StreamError> {
        let mut state = self.state();
        if state.configs.is_none() {
            state.configs = Some(Configs::new(state.ca_file.as_deref()).map_err(|error| {
                log::error!(event = LogEvent::TlsRefused, error:%; "no TLS at all: {error}");
                StreamError::Unreachable
            })?);
        }
        let configs = state.configs.as_ref().ok_or(StreamError::Unreachable)?;
        Ok(Arc::clone(if strict { &configs.strict } else { &configs.lenient }))
    }

    /// Tells that a server with which there was no TLS has it again. A no-op for any other.
    fn accepted(&self, endpoint: &Endpoint) {
        if self.state().refused.remove(endpoint).is_some() {
            log::info!(event = LogEvent::TlsAccepted, upstream:% = endpoint; "TLS with {endpoint} works again");
        }
    }

    /// Remembers why there is no TLS with a server, and tells it where that is news.
    fn refuse(&self, endpoint: &Endpoint, error: &std::io::Error) -> StreamError {
        let (why, text) = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(error)) => refused_certificate(endpoint, error),
            _ => (StreamError::Unreachable, format!("no TLS with {endpoint}: {error}")),
        };
        let (mut state, now) = (self.state(), clock::now());
        let is_old = |configs: &Configs| now.saturating_duration_since(configs.made) >= TRUST_LIFE;
        if matches!(why, StreamError::Untrusted(_)) && state.configs.as_ref().is_some_and(is_old) {
            state.configs = None;
        }
        let refused = Refused { text: text.clone(), why, at: now };
        let is_news = state.refused.insert(endpoint.clone(), refused).is_none_or(|before| before.text != text);
        drop(state);
        if is_news {
            log::warn!(event = LogEvent::TlsRefused, upstream:% = endpoint, reason:% = why; "{text}");
        }
        why
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a certificate is refused for: for the lookup, and for people.
fn refused_certificate(endpoint: &Endpoint, error: &CertificateError) -> (StreamError, String) {
    let why = Distrust::of(error, clock::wall());
    // The moment of the refusal, which some of these texts have, would make each of them news.
    let detail = match error {
        CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. } => String::new(),
        other => format!(" ({other})"),
    };
    let advice = why.advice();
    let text = format!(
        "not asking {endpoint}: its certificate is refused, {why}{detail}. It is never asked in plain text instead: {advice}"
    );
    (StreamError::Untrusted(why), text)
}

impl Configs {
    fn new(ca_file: Option<&Path>) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let strict = builder()?.with_root_certificates(trusted(ca_file)).with_no_client_auth();
        let anyone = Arc::new(Anyone(Arc::clone(&provider)));
        let lenient = builder()?.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth();
        Ok(Self { strict: Arc::new(strict), lenient: Arc::new(lenient), made: clock::now() })
    }
}

/// The certificates that the system trusts, and those in `ca_file`.
fn trusted(ca_file: Option<&Path>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let of_file = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let problem = match of_file.map(|certificates| roots.add_parsable_certificates(certificates)) {
            Ok((added, _)) if added > 0 => None,
            Ok(_) => Some("there is no certificate in it".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = problem {
            let path = path.display();
            log::error!(event = LogEvent::TrustUnreadable, why:%; "the certificates of `tls.ca_file`, {path}, are not trusted: {why}");
        }
    }
    if roots.is_empty() {
        let why = system.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        log::warn!(event = LogEvent::TrustUnreadable; "the system trusts no certificate{why}: install ca-certificates");
    }
    roots
}

/// Takes any certificate, but has whoever shows it prove that it is theirs.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
