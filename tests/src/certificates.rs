//! Certificates for servers that speak TLS, and the issuer of all of them: right, or wrong in one way.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::host::Host;

/// The name in a right certificate.
pub const NAME: &str = "dns.example";

/// What a certificate is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// As it should be, for [`NAME`] and the server's address.
    Right,
    /// For another name and no address.
    OtherName,
    /// Its time was over years ago.
    Expired,
    /// By an issuer that nobody knows.
    OtherIssuer,
    /// By nobody but itself.
    SelfSigned,
}

/// An issuer, whose certificate is trusted.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new("Onward's tests")
    }
}

impl Authority {
    /// Makes an issuer of this name.
    ///
    /// # Panics
    /// If there is no randomness.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes a certificate for a server at `address` and its key to `cert.pem` and `key.pem` in `directory` of `host`.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn certify(&self, host: &Host, directory: &str, address: &str, how: Certificate) {
        let names = match how {
            Certificate::OtherName => vec!["other.example".to_owned()],
            _ => vec![NAME.to_owned(), address.to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("names");
        if how == Certificate::Expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let stranger = Self::new("Somebody else");
        let certificate = match how {
            Certificate::SelfSigned => params.self_signed(&key),
            Certificate::OtherIssuer => params.signed_by(&key, &stranger.issuer),
            Certificate::Right | Certificate::OtherName | Certificate::Expired => params.signed_by(&key, &self.issuer),
        };
        host.write(&format!("{directory}/cert.pem"), &certificate.expect("a certificate").pem());
        host.write(&format!("{directory}/key.pem"), &key.serialize_pem());
    }
}
