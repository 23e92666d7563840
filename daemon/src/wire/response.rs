//! Reading what an upstream sent: where its records are, how long they live, what its OPT says.
//!
//! It walks over the records without decoding their data, so that a type nobody knows, or data in an order that a
//! parser would refuse, passes as it came (RFC 3597). Whether the answer belongs to a question is for `exchange::check`
//! to say.

use smallvec::SmallVec;

use super::{HEADER, flag, name_end, rcode, rtype, ttl, u16_at};

/// Extended error codes (RFC 8914; IANA, "Extended DNS Error Codes").
const EDE_OPTION: u16 = 15;

/// A response, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'m> {
    message: &'m [u8],
    question_end: usize,
    records: [Span; 2],
    counts: [u16; 3],
    ttls: SmallVec<[u16; 16]>,
    spelled: SmallVec<[usize; 2]>,
    least_ttl: Option<u32>,
    negative_ttl: Option<u32>,
    has_asked_type: bool,
    has_ns: bool,
    edns: Option<Edns>,
    errors: Vec<(u16, Span)>,
}

/// Where something begins and ends in the message.
type Span = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    high_rcode: u8,
}

/// The record that the walk stands at.
struct Record {
    start: usize,
    rtype: u16,
    ttl_at: usize,
    data: Span,
}

impl<'m> Response<'m> {
    /// Reads `message`, whose question (one, uncompressed) ends at `question_end`.
    ///
    /// An OPT may stand anywhere in the additional section, and nowhere else (RFC 6891, section 6.1.1). Address records
    /// behind it are kept; anything else behind it is left out, as are signatures of the transaction, which a forwarder
    /// must not pass on (RFC 8945, section 5.5).
    ///
    /// What the header says holds though the records cannot be walked: a truncated response and an error are read as a
    /// header and a question.
    ///
    /// # Errors
    /// `None` where another response cannot be walked: a record runs over the end, an OPT stands outside of the
    /// additional section or twice in it, or the message is longer than 65,535 bytes.
    #[must_use]
    pub fn read(message: &'m [u8], question_end: usize) -> Option<Self> {
        let counts = [u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
        let header = Self::header(message, question_end);
        let mut response = header.clone();
        match response.walk(counts) {
            Some(()) => Some(response),
            None => Some(header).filter(|header| header.is_truncated() || header.is_error()),
        }
    }

    /// The response without its records.
    fn header(message: &'m [u8], question_end: usize) -> Self {
        Self {
            message,
            question_end,
            records: [(question_end, question_end); 2],
            counts: [0; 3],
            ttls: SmallVec::new(),
            spelled: SmallVec::new(),
            least_ttl: None,
            negative_ttl: None,
            has_asked_type: false,
            has_ns: false,
            edns: None,
            errors: Vec::new(),
        }
    }

    fn walk(&mut self, counts: [u16; 3]) -> Option<()> {
        let message = self.message;
        let asked = u16_at(message, self.question_end.checked_sub(4)?)?;
        let mut at = self.question_end;
        self.counts = counts;
        for section in 0..counts.len() {
            for index in 0..*counts.get(section)? {
                let record = Record::read(message, at)?;
                if record.rtype == rtype::OPT {
                    return if section == 2 {
                        self.walk_behind_opt(&record, index, counts[2] - index - 1)
                    } else {
                        None
                    };
                }
                at = record.data.1;
                self.note(section, &record, asked)?;
                self.records = [(self.question_end, at), (at, at)];
            }
        }
        Some(())
    }

    /// Reads the OPT, behind `before` other additional records, and the `behind` records that follow it. Keeps of these
    /// the address records before the first record that is none, or that means something else when the OPT in front of
    /// it is taken out. `None` where a record cannot be read or is another OPT.
    fn walk_behind_opt(&mut self, opt: &Record, before: u16, behind: u16) -> Option<()> {
        self.read_opt(opt)?;
        self.counts[2] = before;
        let (mut at, mut is_kept) = (opt.data.1, true);
        self.records[1] = (at, at);
        for _ in 0..behind {
            let record = Record::read(self.message, at)?;
            at = record.data.1;
            is_kept &= matches!(record.rtype, rtype::A | rtype::AAAA) && self.moves_freely(&record, opt.start);
            match record.rtype {
                rtype::OPT => return None,
                _ if !is_kept => {}
                _ => {
                    self.note_behind(&record, opt.data.1 - opt.start)?;
                    self.counts[2] += 1;
                    self.records[1].1 = at;
                }
            }
        }
        Some(())
    }

    /// Whether the owner name of `record` has no compression pointer, or one to somewhere before `limit` (RFC 1035,
    /// section 4.1.4): then it means the same when what follows `limit` moves.
    fn moves_freely(&self, record: &Record, limit: usize) -> bool {
        let owner = self.message.get(..record.ttl_at - 4).unwrap_or_default();
        let mut at = record.start;
        loop {
            match owner.get(at) {
                None => return true,
                Some(&length @ 0..=63) => at += 1 + usize::from(length),
                Some(64..) => return u16_at(owner, at).is_some_and(|pointer| usize::from(pointer & 0x3fff) < limit),
            }
        }
    }

    /// Notes a record that moves `by` bytes to the front.
    fn note_behind(&mut self, record: &Record, by: usize) -> Option<()> {
        let ttl = read_ttl(self.message, record.ttl_at)?;
        self.ttls.push(u16::try_from(record.ttl_at - by - self.question_end).ok()?);
        self.least_ttl = Some(self.least_ttl.map_or(ttl, |least| least.min(ttl)));
        Some(())
    }

    fn note(&mut self, section: usize, record: &Record, asked: u16) -> Option<()> {
        let ttl = read_ttl(self.message, record.ttl_at)?;
        self.ttls.push(u16::try_from(record.ttl_at - self.question_end).ok()?);
        if self.repeats_question(record.start) {
            self.spelled.push(record.start - self.question_end);
        }
        self.least_ttl = Some(self.least_ttl.map_or(ttl, |least| least.min(ttl)));
        if section == 0 && (record.rtype == asked || asked == rtype::ANY) {
            self.has_asked_type = true;
        }
        self.has_ns |= section == 1 && record.rtype == rtype::NS;
        if section == 1 && record.rtype == rtype::SOA {
            // The negative TTL is the lesser of the SOA's own TTL and its last field (RFC 2308, section 5).
            let minimum = read_ttl(self.message, record.data.1.checked_sub(4).filter(|at| *at >= record.data.0)?)?;
            self.negative_ttl = Some(minimum.min(ttl));
        }
        Some(())
    }

    /// Whether the name at `at` is the question's, spelled out.
    fn repeats_question(&self, at: usize) -> bool {
        let Some(name) = self.question_end.checked_sub(4).and_then(|end| self.message.get(HEADER..end)) else {
            return false;
        };
        let spelled = self.message.get(at..at + name.len());
        name.len() > 1 && spelled.is_some_and(|owner| owner.eq_ignore_ascii_case(name))
    }

    /// Reads the OPT (RFC 6891, section 6.1.3) and the errors in it (RFC 8914, section 2).
    fn read_opt(&mut self, record: &Record) -> Option<()> {
        self.edns = Some(Edns { high_rcode: *self.message.get(record.ttl_at)? });
        let (mut at, end) = record.data;
        while at + 4 <= end {
            let (code, length) = (u16_at(self.message, at)?, usize::from(u16_at(self.message, at + 2)?));
            let data = (at + 4, at + 4 + length);
            if data.1 > end {
                break; // a cut option: what was read stands
            }
            if code == EDE_OPTION && length >= 2 {
                self.errors.push((u16_at(self.message, data.0)?, (at, data.1)));
            }
            at = data.1;
        }
        Some(())
    }

    /// The response code, with the upper bits of the OPT where there is one.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        let low = u16::from(self.message.get(3).copied().unwrap_or(0) & flag::RCODE);
        self.edns.map_or(low, |edns| u16::from(edns.high_rcode) << 4 | low)
    }

    /// Whether the answer was cut to fit.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.message.get(2).is_some_and(|high| high & flag::TC != 0)
    }

    /// Whether it says that there is nothing: NXDOMAIN, or NOERROR without a record of the type asked (RFC 2308,
    /// section 2).
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match self.rcode() {
            code if code == u16::from(rcode::NXDOMAIN) => true,
            code => code == u16::from(rcode::NOERROR) && !self.has_asked_type,
        }
    }

    /// Whether it says nothing of the name, since the server does not serve it and does not recurse: NOERROR without an
    /// answer that is neither authoritative nor from a server that offers recursion, or a referral (RFC 2308, section
    /// 2.2: NS records without an SOA).
    #[must_use]
    pub fn is_lame(&self) -> bool {
        let [high, low] = self.flags();
        let is_from_nobody = high & flag::AA == 0 && low & flag::RA == 0;
        let is_referral = self.has_ns && self.negative_ttl.is_none();
        self.rcode() == u16::from(rcode::NOERROR) && self.counts[0] == 0 && (is_from_nobody || is_referral)
    }

    /// Whether it tells of an error: neither NOERROR nor NXDOMAIN.
    #[must_use]
    pub fn is_error(&self) -> bool {
        !matches!(u8::try_from(self.rcode()), Ok(rcode::NOERROR | rcode::NXDOMAIN))
    }

    /// Whether the answer has an OPT.
    #[must_use]
    pub fn has_edns(&self) -> bool {
        self.edns.is_some()
    }

    /// The codes of its extended errors (RFC 8914).
    pub fn extended_errors(&self) -> impl Iterator<Item = u16> + '_ {
        self.errors.iter().map(|(code, _)| *code)
    }

    /// The EDNS options that carry its extended errors, as they came.
    pub fn extended_error_options(&self) -> impl Iterator<Item = &'m [u8]> + '_ {
        self.errors.iter().filter_map(|(_, (from, to))| self.message.get(*from..*to))
    }

    /// How long it may be kept, in seconds, before anyone's limits: the least TTL of its records, for a negative answer
    /// that of RFC 2308, section 5. `None`: not at all.
    #[must_use]
    pub fn lifetime(&self) -> Option<u32> {
        let ttl = if self.is_negative() {
            // Without an SOA a negative answer is not to be kept (RFC 2308, section 5). The chain before it counts too.
            self.negative_ttl?.min(self.least_ttl?)
        } else {
            self.least_ttl?
        };
        (ttl > 0).then_some(ttl)
    }

    /// Third and fourth byte of the header. A response code that needs an OPT to be told (BADVERS and above: RFC 6891,
    /// section 6.1.3) concerns this hop only, and is SERVFAIL here; its lower bits alone would mean another code.
    #[must_use]
    pub fn flags(&self) -> [u8; 2] {
        match self.message.get(2..4) {
            Some(&[high, low]) if self.rcode() > u16::from(flag::RCODE) => [high, low & !flag::RCODE | rcode::SERVFAIL],
            Some(&[high, low]) => [high, low],
            _ => [0; 2],
        }
    }

    /// The numbers of records in the three sections, without the OPT and what is left out behind it.
    #[must_use]
    pub fn counts(&self) -> [u16; 3] {
        self.counts
    }

    /// The bytes of the records in two parts: those before the OPT, and those behind it, mostly none.
    #[must_use]
    pub fn records(&self) -> [&'m [u8]; 2] {
        self.records.map(|(from, to)| self.message.get(from..to).unwrap_or_default())
    }

    /// Where in [`Self::records`] the question's name stands spelled out, as an upstream that does not compress does
    /// it; and how many bytes it has. It repeats the spelling that we sent, which must not reach a client.
    pub fn spelled(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let length = self.question_end.saturating_sub(HEADER + 4);
        self.spelled.iter().map(move |at| *at..*at + length)
    }

    /// Where each record's TTL stands within [`Self::records`].
    #[must_use]
    pub fn ttls(&self) -> &[u16] {
        &self.ttls
    }
}

impl Record {
    fn read(message: &[u8], start: usize) -> Option<Self> {
        let fixed = name_end(message, start)?;
        let rtype = u16_at(message, fixed)?;
        let data = fixed + 10;
        let end = data + usize::from(u16_at(message, fixed + 8)?);
        (end <= message.len()).then_some(Self { start, rtype, ttl_at: fixed + 4, data: (data, end) })
    }
}

fn read_ttl(message: &[u8], at: usize) -> Option<u32> {
    Some(ttl(*message.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
