//! Reading what an upstream sent: where its records are, how long they live, what its OPT says.
//!
//! It walks over the records without decoding their data, so that a type nobody knows, or data in an order that a parser
//! would refuse, passes as it came (RFC 3597). Whether the answer belongs to a question is for `upstream::check` to say.

use smallvec::SmallVec;

use super::{HEADER, flag, name_end, rcode, rtype, u16_at, u32_at};

/// Extended error codes (RFC 8914; IANA, "Extended DNS Error Codes").
const EDE_OPTION: u16 = 15;

/// An answer, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'m> {
    message: &'m [u8],
    question_end: usize,
    records_end: usize,
    counts: [u16; 3],
    ttls: SmallVec<[u16; 16]>,
    spelled: SmallVec<[usize; 2]>,
    least_ttl: Option<u32>,
    negative_ttl: Option<u32>,
    has_asked_type: bool,
    has_ns: bool,
    edns: Option<Edns>,
    errors: Vec<(u16, (usize, usize))>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    high_rcode: u8,
}

/// The record that the walk stands at.
struct Record {
    start: usize,
    rtype: u16,
    ttl_at: usize,
    data: (usize, usize),
}

impl<'m> Response<'m> {
    /// Reads `message`, whose question (one, uncompressed) ends at `question_end`.
    ///
    /// Records behind an OPT are left out: an OPT stands last but for signatures of the transaction, which a forwarder
    /// must not pass on (RFC 8945, section 5.5).
    ///
    /// # Errors
    /// `None` where a record runs over the end, or the message is longer than 65,535 bytes.
    #[must_use]
    pub fn read(message: &'m [u8], question_end: usize) -> Option<Self> {
        let counts = [u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
        let mut answer = Self {
            message,
            question_end,
            records_end: question_end,
            counts,
            ttls: SmallVec::new(),
            spelled: SmallVec::new(),
            least_ttl: None,
            negative_ttl: None,
            has_asked_type: false,
            has_ns: false,
            edns: None,
            errors: Vec::new(),
        };
        let asked = u16_at(message, question_end.checked_sub(4)?)?;
        let mut at = question_end;
        for section in 0..counts.len() {
            for index in 0..*counts.get(section)? {
                let record = Record::read(message, at)?;
                at = record.data.1;
                if section == 2 && record.rtype == rtype::OPT {
                    answer.read_opt(&record)?;
                    answer.counts = [counts[0], counts[1], index];
                    return Some(answer);
                }
                answer.note(section, &record, asked)?;
                answer.records_end = at;
            }
        }
        Some(answer)
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
        self.flags()[0] & flag::TC != 0
    }

    /// Whether it says that there is nothing: NXDOMAIN, or NOERROR without a record of the type asked (RFC 2308, section 2).
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match self.rcode() {
            code if code == u16::from(rcode::NXDOMAIN) => true,
            code => code == u16::from(rcode::NOERROR) && !self.has_asked_type,
        }
    }

    /// Whether it says nothing of the name, since the server does not serve it and does not recurse: NOERROR without an
    /// answer that is neither authoritative nor from a server that offers recursion, or a referral (RFC 2308, section 2.2: NS
    /// records without an SOA).
    #[must_use]
    pub fn is_lame(&self) -> bool {
        let [high, low] = self.flags();
        let is_from_nobody = high & flag::AA == 0 && low & flag::RA == 0;
        let is_referral = self.has_ns && self.negative_ttl.is_none();
        self.rcode() == u16::from(rcode::NOERROR) && self.counts[0] == 0 && (is_from_nobody || is_referral)
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

    /// Third and fourth byte of the header.
    #[must_use]
    pub fn flags(&self) -> [u8; 2] {
        match self.message.get(2..4) {
            Some(&[high, low]) => [high, low],
            _ => [0; 2],
        }
    }

    /// The numbers of records in the three sections, the OPT not counted.
    #[must_use]
    pub fn counts(&self) -> [u16; 3] {
        self.counts
    }

    /// The records' bytes: all behind the question, but the OPT.
    #[must_use]
    pub fn records(&self) -> &'m [u8] {
        self.message.get(self.question_end..self.records_end).unwrap_or_default()
    }

    /// Where in [`Self::records`] the question's name stands spelled out, as an upstream that does not compress does it; and
    /// how many bytes it has. It repeats the spelling that we sent, which must not reach a client.
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

/// A TTL; one with the top bit set counts as zero (RFC 2181, section 8).
fn read_ttl(message: &[u8], at: usize) -> Option<u32> {
    u32_at(message, at).map(|ttl| if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x01a\x07example\0\0\x01\0\x01";
    const END: usize = HEADER + 15;

    /// A message of answer records, authority records and an OPT, each given as (type, TTL, data).
    fn message(
        code: u8,
        answers: &[(u16, u32, &[u8])],
        authority: &[(u16, u32, &[u8])],
        opt: Option<&[u8]>,
    ) -> Vec<u8> {
        let count = |n: usize| u8::try_from(n).unwrap();
        let mut m = vec![0, 1, 0x81, 0x80 | code, 0, 1, 0, count(answers.len()), 0, count(authority.len()), 0, 0];
        m.extend(QUESTION);
        for (rtype, ttl, data) in answers.iter().chain(authority) {
            m.extend([0xc0, 12]);
            m.extend(rtype.to_be_bytes());
            m.extend([0, 1]);
            m.extend(ttl.to_be_bytes());
            m.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            m.extend(*data);
        }
        if let Some(options) = opt {
            m[11] = 1;
            m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
            m.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
            m.extend(options);
        }
        m
    }

    const SOA: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 60];

    #[test]
    fn the_least_ttl_is_the_lifetime_and_the_opt_is_cut() {
        let m = message(0, &[(1, 300, &[1, 2, 3, 4]), (1, 200, &[1, 2, 3, 5])], &[], Some(&[]));
        let answer = Response::read(&m, END).unwrap();
        assert_eq!((answer.lifetime(), answer.counts(), answer.records().len()), (Some(200), [2, 0, 0], 32));
        assert!(answer.has_edns() && !answer.is_negative());
        assert_eq!(answer.ttls(), [6, 22]);
    }

    #[test]
    fn a_negative_answer_lives_as_its_soa_says() {
        let m = message(3, &[], &[(rtype::SOA, 900, SOA)], None);
        assert_eq!(Response::read(&m, END).unwrap().lifetime(), Some(60));
        let m = message(0, &[(rtype::CNAME, 30, b"\0")], &[(rtype::SOA, 900, SOA)], None);
        let nodata = Response::read(&m, END).unwrap();
        assert!(nodata.is_negative());
        assert_eq!(nodata.lifetime(), Some(30));
        assert_eq!(Response::read(&message(3, &[], &[], None), END).unwrap().lifetime(), None);
    }

    #[test]
    fn ttl_zero_and_ttl_with_the_top_bit_are_not_kept() {
        for ttl in [0, 0x8000_0000] {
            let m = message(0, &[(1, ttl, &[1, 2, 3, 4])], &[], None);
            assert_eq!(Response::read(&m, END).unwrap().lifetime(), None);
        }
    }

    #[test]
    fn extended_errors_are_found_and_a_cut_option_does_no_harm() {
        let m = message(2, &[], &[], Some(&[0, 15, 0, 4, 0, 6, b'n', b'o', 0, 10, 0, 99, 1]));
        let answer = Response::read(&m, END).unwrap();
        assert_eq!(answer.extended_errors().collect::<Vec<_>>(), [6]);
        assert_eq!(answer.extended_error_options().next(), Some(&[0, 15, 0, 4, 0, 6, b'n', b'o'][..]));
    }

    #[test]
    fn a_record_that_runs_over_the_end_is_refused() {
        let mut m = message(0, &[(1, 300, &[1, 2, 3, 4])], &[], None);
        m.pop();
        assert_eq!(Response::read(&m, END), None);
    }

    #[test]
    fn names_spelled_out_are_found() {
        let mut m = message(0, &[], &[], None);
        m[7] = 1;
        m.extend(b"\x01A\x07ExAmPle\0\0\x01\0\x01\0\0\0\x05\0\x04\x01\x02\x03\x04");
        let answer = Response::read(&m, END).unwrap();
        let spelled: Vec<_> = answer.spelled().map(|name| (name.start, name.end)).collect();
        assert_eq!(spelled, [(0, 11)]);
    }
}
