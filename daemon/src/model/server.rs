//! An upstream of the model: what it knows, and how it behaves as badly as real servers do.
//!
//! It reads the bytes of a query and says what comes back, and when. Names look like `h3.z1.`: a host in a zone.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::case::QUICK;
use crate::wire::{HEADER, name_end, rcode, rtype};

/// Number of zones that there are.
pub(super) const ZONES: u8 = 4;
/// Number of hosts in each zone.
pub(super) const HOSTS: u8 = 3;
/// Time that a record keeps its value.
const VERSION: Duration = Duration::from_secs(40);

/// What a server says of names in zones that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    NxDomain,
    Refused,
    ServFail,
    /// NOERROR without records, RA and AA: it is no server for that name.
    Lame,
}

/// What a server makes of EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edns {
    Knows,
    /// FORMERR with the question.
    FormErr,
    /// FORMERR, a header alone.
    HeaderAlone,
}

/// What a server does with responses that do not fit into a datagram, which are all of the hosts with the highest
/// number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLong {
    /// There are none.
    Never,
    /// It says them over a stream.
    Streams,
    /// Its streams bring nothing.
    NoStream,
    /// As the first, and its datagram is cut in the middle of a record.
    CutsInARecord,
}

/// What a server says to probes of Onward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probes {
    NxDomain,
    Refused,
    Silence,
}

#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Its number, which its records tell.
    pub(super) number: u8,
    pub(super) knows: Vec<u8>,
    pub(super) silent_for: Vec<u8>,
    pub(super) otherwise: Otherwise,
    pub(super) edns: Edns,
    pub(super) too_long: TooLong,
    pub(super) probes: Probes,
    pub(super) latency: Duration,
    /// Spans, from the start of the world, in which it is silent to everyone.
    pub(super) outages: Vec<(Duration, Duration)>,
    /// TTL of its records, in seconds.
    pub(super) ttl: u32,
    /// TTL of its negative responses, in seconds; without one they have no SOA.
    pub(super) negative_ttl: Option<u32>,
}

/// What a response says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// An address, by the server and the version of its data that it tells.
    Address([u8; 2]),
    NxDomain,
    /// NOERROR without an address.
    Nothing,
    /// Records are missing.
    Truncated,
    Failure(u8),
}

impl Server {
    /// A server as well behaved as can be, for all zones.
    pub(super) fn perfect(number: u8) -> Self {
        Self {
            number,
            knows: (0..ZONES).collect(),
            silent_for: Vec::new(),
            otherwise: Otherwise::NxDomain,
            edns: Edns::Knows,
            too_long: TooLong::Never,
            probes: Probes::NxDomain,
            latency: Duration::from_millis(5),
            outages: Vec::new(),
            ttl: 60,
            negative_ttl: Some(60),
        }
    }

    /// A server with manners by chance, in a world that lasts `span`.
    pub(super) fn random(number: u8, span: Duration, rng: &mut StdRng) -> Self {
        let mut some = |one_in: u32| (0..ZONES).filter(|_| rng.random_ratio(1, one_in)).collect::<Vec<_>>();
        let (knows, silent_for) = (some(2), some(6));
        let outages = (0..rng.random_range(0..3_u8))
            .map(|_| {
                let from = span.mul_f64(rng.random_range(0.0..0.9));
                (from, from + Duration::from_millis(rng.random_range(500..30_000)))
            })
            .collect();
        Self {
            number,
            knows,
            silent_for,
            otherwise: pick(
                rng,
                [Otherwise::NxDomain, Otherwise::NxDomain, Otherwise::Refused, Otherwise::ServFail, Otherwise::Lame],
            ),
            edns: pick(rng, [Edns::Knows, Edns::Knows, Edns::Knows, Edns::FormErr, Edns::HeaderAlone]),
            too_long: pick(
                rng,
                [TooLong::Never, TooLong::Never, TooLong::Streams, TooLong::CutsInARecord, TooLong::NoStream],
            ),
            probes: pick(rng, [Probes::NxDomain, Probes::NxDomain, Probes::Refused, Probes::Silence]),
            latency: Duration::from_millis(pick(rng, [1, 5, 20, 80, 150, 350])),
            outages,
            ttl: pick(rng, [0, 1, 5, 30, 120]),
            negative_ttl: pick(rng, [None, Some(0), Some(3), Some(60)]),
        }
    }

    /// Whether it may have been held to be down at some time until `to`: silent to probes and to some queries, it is
    /// down as far as anybody can tell, until it answers a query that was to go there anyway.
    pub(super) fn may_seem_down(&self, to: Duration) -> bool {
        let is_late = !self.silent_for.is_empty() || self.latency > QUICK;
        self.probes == Probes::Silence && (is_late || self.is_out(Duration::ZERO, to))
    }

    /// Whether it is silent to everyone at some time from `from` to `to`.
    pub(super) fn is_out(&self, from: Duration, to: Duration) -> bool {
        self.outages.iter().any(|(begin, end)| *begin <= to && from <= *end)
    }

    /// Its response to `query`, `since` the start of the world; `None` is silence.
    pub(super) fn response(&self, query: &[u8], over_stream: bool, since: Duration) -> Option<Vec<u8>> {
        let end = name_end(query, HEADER)? + 4;
        let (has_opt, name) = (query.get(11) == Some(&1), Name::read(query));
        if self.is_out(since, since) {
            return None;
        }
        if has_opt && self.edns != Edns::Knows {
            let mut response = response(query, end, rcode::FORMERR);
            if self.edns == Edns::HeaderAlone {
                response.truncate(HEADER);
                response[5] = 0;
            }
            return Some(response);
        }
        let Some(Name { host, zone }) = name else {
            return match self.probes {
                Probes::NxDomain => Some(self.negative(query, end)),
                Probes::Refused => Some(response(query, end, rcode::REFUSED)),
                Probes::Silence => None,
            };
        };
        if self.silent_for.contains(&zone) {
            return None;
        }
        if !self.knows.contains(&zone) {
            return Some(match self.otherwise {
                Otherwise::NxDomain => self.negative(query, end),
                Otherwise::Refused => response(query, end, rcode::REFUSED),
                Otherwise::ServFail => response(query, end, rcode::SERVFAIL),
                Otherwise::Lame => {
                    let mut lame = response(query, end, rcode::NOERROR);
                    lame[3] = 0;
                    lame
                }
            });
        }
        let mut response = response(query, end, rcode::NOERROR);
        response[7] = 1;
        response.extend([0xc0, 12, 0, 1, 0, 1]);
        response.extend(self.ttl.to_be_bytes());
        response.extend([0, 4, 10, self.number, version(since), host]);
        if host == HOSTS - 1 && self.too_long != TooLong::Never {
            match (self.too_long, over_stream) {
                (TooLong::NoStream, true) => return None,
                (_, true) => {}
                (TooLong::CutsInARecord, false) => {
                    response[2] |= 2;
                    response.truncate(response.len() - 7);
                }
                (_, false) => {
                    response[2] |= 2;
                    response[7] = 0;
                    response.truncate(end);
                }
            }
        }
        Some(response)
    }

    fn negative(&self, query: &[u8], end: usize) -> Vec<u8> {
        let mut negative = response(query, end, rcode::NXDOMAIN);
        if let Some(ttl) = self.negative_ttl {
            negative[9] = 1;
            negative.push(0);
            negative.extend(rtype::SOA.to_be_bytes());
            negative.extend([0, 1]);
            negative.extend(ttl.to_be_bytes());
            negative.extend([0, 22, 0, 0]);
            negative.extend([0; 16]);
            negative.extend(ttl.to_be_bytes());
        }
        negative
    }
}

/// A host in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) host: u8,
    pub(super) zone: u8,
}

impl Name {
    /// The name in its wire form.
    pub(super) fn wire(self) -> Vec<u8> {
        vec![2, b'h', b'0' + self.host, 2, b'z', b'0' + self.zone, 0]
    }

    /// The name that `message` asks for; `None` for any other, as a probe's.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        match message.get(HEADER..HEADER + 7)? {
            &[2, h, host, 2, z, zone, 0] if h.eq_ignore_ascii_case(&b'h') && z.eq_ignore_ascii_case(&b'z') => {
                Some(Self { host: host - b'0', zone: zone - b'0' })
            }
            _ => None,
        }
    }
}

/// What a response says, as a stub resolver reads it.
pub(super) fn read(response: &[u8]) -> Says {
    let end = name_end(response, HEADER).map_or(response.len(), |end| end + 4);
    match response[3] & 15 {
        rcode::NOERROR if response[2] & 2 != 0 => Says::Truncated,
        rcode::NOERROR if response[7] == 0 => Says::Nothing,
        rcode::NOERROR => Says::Address([response[end + 13], response[end + 14]]),
        rcode::NXDOMAIN => Says::NxDomain,
        code => Says::Failure(code),
    }
}

/// The TTL of the first record of a response, in seconds.
pub(super) fn ttl(response: &[u8]) -> Option<u32> {
    let fixed = name_end(response, name_end(response, HEADER)? + 4)?;
    Some(u32::from_be_bytes(*response.get(fixed + 4..)?.first_chunk()?))
}

/// The version of the data at a time.
pub(super) fn version(since: Duration) -> u8 {
    u8::try_from(since.as_secs() / VERSION.as_secs()).unwrap_or(u8::MAX)
}

fn response(query: &[u8], end: usize, code: u8) -> Vec<u8> {
    let mut response = query[..end].to_vec();
    (response[2], response[3]) = (0x81, 0x80 | code);
    response[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    response
}

fn pick<T: Copy, const N: usize>(rng: &mut StdRng, from: [T; N]) -> T {
    from[rng.random_range(0..N)]
}
