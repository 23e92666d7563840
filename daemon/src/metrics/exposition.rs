//! Writes metrics as text, in Prometheus' own format (0.0.4) or as OpenMetrics (1.0.0), which differ in how a family is
//! announced and in how the text ends. Pure.
//!
//! By hand: crates for it write one of the two, and count by themselves at a cost that the hot path cannot bear.

use std::fmt::Write;
use std::time::Duration;

use crate::exchange::Histogram;
use crate::exchange::histogram::ENDS;

/// Which text is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Version 0.0.4.
    Prometheus,
    /// Version 1.0.0.
    OpenMetrics,
}

/// What a family's numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They rise only; the name ends in `_total`.
    Counter,
    /// They rise and fall.
    Gauge,
    /// Times, by how long they were.
    Histogram,
}

/// A text that is being written.
#[derive(Debug)]
pub(crate) struct Exposition {
    format: Format,
    text: String,
}

/// A family of metrics, whose numbers follow.
#[derive(Debug)]
pub(crate) struct Family<'e> {
    text: &'e mut String,
    name: &'e str,
}

impl Format {
    /// The format that a client wants by its header `Accept`.
    pub(crate) fn of_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The header `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Exposition {
    /// An empty text.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a family; `help` is a sentence for people, on one line and without backslashes.
    pub(crate) fn family<'e>(&'e mut self, kind: Kind, name: &'e str, help: &str) -> Family<'e> {
        let announced = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {announced} {help}\n# TYPE {announced} {kind}\n"); // a String takes all
        Family { text: &mut self.text, name }
    }

    /// Ends the text.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// A whole number.
    pub(crate) fn value(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.line("", labels, None, value)
    }

    /// A number of seconds.
    pub(crate) fn seconds(&mut self, labels: &[(&str, &str)], value: Duration) -> &mut Self {
        self.line("", labels, None, value.as_secs_f64())
    }

    /// Times, in buckets that each have all shorter ones.
    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut all = 0;
        let ends = ENDS.iter().map(|end| Duration::from_micros(*end).as_secs_f64().to_string());
        for (number, end) in histogram.buckets().iter().zip(ends.chain(["+Inf".to_owned()])) {
            all += number;
            self.line("_bucket", labels, Some(&end), all);
        }
        self.line("_sum", labels, None, histogram.sum().as_secs_f64());
        self.line("_count", labels, None, all);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        end: Option<&str>,
        value: impl std::fmt::Display,
    ) -> &mut Self {
        let Self { text, name } = self;
        let _ = write!(text, "{name}{suffix}");
        let mut before = '{';
        for (label, content) in labels.iter().copied().chain(end.map(|end| ("le", end))) {
            let content = content.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            let _ = write!(text, "{before}{label}=\"{content}\"");
            before = ',';
        }
        let close = if before == '{' { "" } else { "}" };
        let _ = writeln!(text, "{close} {value}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        let mut family = exposition.family(Kind::Counter, "onward_things_total", "Things.");
        family.value(&[("kind", "a\"b\\c\nd"), ("of", "x")], 7).value(&[], 8);
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(300));
        histogram.record(Duration::from_secs(60));
        exposition.family(Kind::Histogram, "onward_time_seconds", "Time.").histogram(&[("to", "y")], &histogram);
        exposition.family(Kind::Gauge, "onward_age_seconds", "Age.").seconds(&[], Duration::from_millis(1_500));
        exposition.finish()
    }

    #[test]
    fn both_formats_have_the_same_numbers() {
        let (prometheus, open) = (written(Format::Prometheus), written(Format::OpenMetrics));
        for line in [
            "onward_things_total{kind=\"a\\\"b\\\\c\\nd\",of=\"x\"} 7",
            "onward_things_total 8",
            "onward_time_seconds_bucket{to=\"y\",le=\"0.00025\"} 0",
            "onward_time_seconds_bucket{to=\"y\",le=\"0.0005\"} 1",
            "onward_time_seconds_bucket{to=\"y\",le=\"4.096\"} 1",
            "onward_time_seconds_bucket{to=\"y\",le=\"+Inf\"} 2",
            "onward_time_seconds_sum{to=\"y\"} 60.0003",
            "onward_time_seconds_count{to=\"y\"} 2",
            "onward_age_seconds 1.5",
        ] {
            assert!(prometheus.lines().chain(open.lines()).filter(|it| *it == line).count() == 2, "{line}:\n{open}");
        }
        assert!(prometheus.contains("# TYPE onward_things_total counter\n") && !prometheus.contains("EOF"));
        assert!(open.contains("# TYPE onward_things counter\n") && open.ends_with("# EOF\n"));
    }

    #[test]
    fn a_client_gets_the_format_that_it_asks_for() {
        assert_eq!(Format::of_accept("text/plain;version=0.0.4"), Format::Prometheus);
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(Format::of_accept(accept), Format::OpenMetrics);
    }
}
