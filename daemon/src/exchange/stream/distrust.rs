//! Why a server's certificate is refused, in words: what is wrong, and what to do. Pure.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::CertificateError;

/// No clock that was set shows a time before this, in seconds since 1970: that of the commit that the program was built
/// of, where the build tells it, else when this was written.
const BUILT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(seconds) => seconds,
        Err(_) => WRITTEN,
    },
    None => WRITTEN,
};
/// 2026-11-01.
const WRITTEN: u64 = 1_793_491_200;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distrust {
    /// It is for another name or address.
    WrongName,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// The same, but the clock shows a time before this program was built: it is not set yet.
    ClockNotSet,
    /// Nobody who is trusted has issued it.
    UnknownIssuer,
    /// Anything else.
    Other,
}

impl Distrust {
    /// Takes what the verification said, and the time at which it did.
    pub(super) fn of(error: &CertificateError, wall: SystemTime) -> Self {
        let is_set = wall >= UNIX_EPOCH + Duration::from_secs(BUILT);
        match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } if is_set => Self::NotYetValid,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::ClockNotSet,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            _ => Self::Other,
        }
    }

    /// What a person can do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::WrongName => {
                "write the name that the certificate has behind # of the server in `upstreams.servers`, if that is the \
                 server you mean; if not, somebody stands in its place"
            }
            Self::Expired => "whoever runs the server must renew it; look at this node's clock, too (`timedatectl`)",
            Self::NotYetValid => "look at this node's clock (`timedatectl`)",
            Self::ClockNotSet => {
                "waiting until the clock is set; where it is set by a time server with a name, give that by address, or \
                 add a server without TLS to a route for its name"
            }
            Self::UnknownIssuer => {
                "name the file with its issuer's certificate in `tls.ca_file`; for a public server install \
                 ca-certificates"
            }
            Self::Other => "look at the certificate with `openssl s_client -connect`",
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongName => "it is for another name",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::ClockNotSet => "this node's clock is not set yet",
            Self::UnknownIssuer => "nobody who is trusted has issued it",
            Self::Other => "it cannot be verified",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_build_is_told_from_a_certificate_of_the_future() {
        let (boot, now) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(BUILT + 1));
        assert_eq!(Distrust::of(&CertificateError::NotValidYet, boot), Distrust::ClockNotSet);
        assert_eq!(Distrust::of(&CertificateError::NotValidYet, now), Distrust::NotYetValid);
        assert_eq!(Distrust::of(&CertificateError::Expired, boot), Distrust::Expired);
        assert_eq!(Distrust::of(&CertificateError::BadSignature, now), Distrust::Other);
    }
}
