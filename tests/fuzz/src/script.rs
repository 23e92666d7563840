//! A script for the core, read from bytes: the first of each step says what happens.

use std::time::Duration;

use onward::internals::wire::flag;

/// Longest packet that a script gives byte by byte.
const RAW_MAX: usize = 300;
/// Names that scripts ask for, so that they meet: with and without letters, under one suffix, of another Onward's
/// probe.
const NAMES: [&[u8]; 5] =
    [b"\x03www\x07example\0", b"\x01a\x07example\0", b"\x0210\x03100\0", b"\0", b"\x05probe\x04test\x07example\0"];
/// Times that go by, in milliseconds: around what is held, hedged, budgeted and remembered.
const TIMES: [u64; 8] = [1, 20, 51, 110, 400, 900, 1_801, 6_001];

/// What happens.
pub(crate) enum Step<'b> {
    /// A client asks this; its number, 0 for a pod and else the host part of an upstream's address; whether over a
    /// stream.
    Query(Vec<u8>, u8, bool),
    /// A query that was sent to an upstream comes back as a client's.
    Return(u8, bool),
    /// An upstream answers an attempt.
    Response(u8, Response<'b>),
    /// An attempt's socket or stream is lost.
    Lost(u8),
    /// Time goes by.
    Wait(Duration),
    /// These are the upstreams now.
    Upstreams(u8),
    /// The node's routes changed.
    RenewSockets,
    /// The guard has news.
    Guidance,
}

/// What an upstream answers.
pub(crate) enum Response<'b> {
    /// A response code and flags, with an address, an SOA or nothing, a TTL, and an OPT or none.
    Made { code: u8, is_truncated: bool, record: u8, ttl: u8, has_opt: bool },
    /// The query's ID, and then these bytes.
    Raw(&'b [u8]),
}

/// Bytes that are read as steps.
pub(crate) struct Script<'b>(&'b [u8]);

impl<'b> Script<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Reads the next step; none where the bytes end.
    pub(crate) fn next_step(&mut self) -> Option<Step<'b>> {
        Some(match self.byte()? % 12 {
            0..=2 => Step::Query(self.query()?, self.byte()? % 4, self.flag()?),
            3 => Step::Query(self.raw()?.to_vec(), 0, self.flag()?),
            4 => Step::Return(self.byte()?, self.flag()?),
            5 | 6 => Step::Response(self.byte()?, self.made()?),
            7 => Step::Response(self.byte()?, Response::Raw(self.raw()?)),
            8 => Step::Lost(self.byte()?),
            9 => Step::Wait(Duration::from_millis(TIMES[usize::from(self.byte()?) % TIMES.len()])),
            10 => Step::Upstreams(self.byte()?),
            _ if self.flag()? => Step::RenewSockets,
            _ => Step::Guidance,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.byte()? & 1 == 1)
    }

    fn raw(&mut self) -> Option<&'b [u8]> {
        let length = usize::from(self.byte()?).min(RAW_MAX).min(self.0.len());
        let (raw, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(raw)
    }

    fn query(&mut self) -> Option<Vec<u8>> {
        let (name, bits) = (NAMES[usize::from(self.byte()?) % NAMES.len()], self.byte()?);
        let has_opt = bits & 1 != 0;
        let rd = if bits & 2 == 0 { flag::RD } else { 0 };
        let mut packet = vec![bits, 7, rd, bits & flag::CD, 0, 1, 0, 0, 0, 0, 0, u8::from(has_opt)];
        packet.extend(name);
        packet.extend([0, if bits & 4 == 0 { 1 } else { 28 }, 0, 1]);
        if has_opt {
            packet.extend([0, 0, 41, 16, 0, 0, 0, bits & flag::DO, 0, 0, 0]);
        }
        Some(packet)
    }

    fn made(&mut self) -> Option<Response<'b>> {
        let (bits, ttl) = (self.byte()?, self.byte()?);
        let code = [0, 0, 0, 3, 2, 5, 1, 4][usize::from(bits & 7)];
        let (is_truncated, has_opt) = (bits & 8 != 0, bits & 16 != 0);
        Some(Response::Made { code, is_truncated, record: bits >> 5, ttl, has_opt })
    }
}

impl Response<'_> {
    /// Writes the response to an upstream's query, which is plain.
    pub(crate) fn to(&self, query: &[u8]) -> Vec<u8> {
        let mut message = query.get(..2).unwrap_or_default().to_vec();
        let Response::Made { code, is_truncated, record, ttl, has_opt } = *self else {
            if let Response::Raw(bytes) = self {
                message.extend_from_slice(bytes);
            }
            return message;
        };
        let name = query.iter().skip(12).position(|byte| *byte == 0).unwrap_or(0);
        let (answers, authorities) = (u8::from(record < 4), u8::from(record == 4));
        let truncated = if is_truncated { flag::TC } else { 0 };
        message.extend([flag::QR | truncated, flag::RA | code, 0, 1, 0, answers, 0, authorities, 0, u8::from(has_opt)]);
        message.extend(query.get(12..12 + name + 5).unwrap_or_default());
        match record {
            0..4 => message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, record]),
            4 => {
                message.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, ttl, 0, 22, 0, 0]);
                message.extend([0; 19]);
                message.push(ttl);
            }
            _ => {}
        }
        if has_opt {
            message.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
        }
        message
    }
}
