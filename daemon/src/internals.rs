//! What benches, examples, fuzz targets and integration tests reach, and nobody else: the modules themselves are
//! private, so that the compiler tells of what nothing uses. No promise holds for any of it.

pub mod admit {
    pub mod acl {
        pub use crate::admit::acl::{AllowList, Allowed};
    }
    pub mod triage {
        pub use crate::admit::triage::{Verdict, triage};
    }
}

pub mod cache {
    pub use crate::cache::{Cache, CachedResponse, Limits, Origin, STALE_TTL, Seconds, TtlBounds};
}

pub mod clock {
    pub use crate::clock::now;
}

pub mod discovery {
    pub mod kubelet {
        pub use crate::discovery::kubelet::Kubelet;
    }
    pub mod resolv_conf {
        pub use crate::discovery::resolv_conf::{ResolvConf, parse};
    }
}

pub mod exchange {
    pub use crate::exchange::{Action, AttemptId, CLIENT_BUDGET, Engine, Guidance, LookupRequest};
    pub mod check {
        pub use crate::exchange::check::{Match, matches};
    }
    pub mod pool {
        pub use crate::exchange::pool::Socket;
    }
    pub mod query {
        pub use crate::exchange::query::{EdnsParams, build, question_end};
    }
    pub mod stream {
        pub use crate::exchange::stream::StreamError;
    }
}

pub mod forwarder {
    pub use crate::forwarder::{Event, Forwarder, Incoming, Ingress, Reply, Shared, Transmit};
}

pub mod guard {
    pub use crate::guard::{Action, Event, Guard, Judge, Mark, MarkKey, Passed, Secret, Settings, Verdicts};
    pub mod tag {
        pub use crate::guard::tag::{Entries, MOST, find, read, write};
    }
}

pub mod node_address {
    pub use crate::node_address::Tables;
    pub mod messages {
        pub use crate::node_address::messages::{address, link, routes};
    }
}

pub mod respond {
    pub use crate::respond::{Age, ResponseParams, write_cached};
}

pub mod upstream {
    pub use crate::upstream::{Server, Transport, UpstreamId, UpstreamSet};
    pub mod set {
        pub use crate::upstream::set::UpstreamIds;
    }
}

pub mod waiters {
    pub use crate::waiters::{ClientId, ListenerId, ReplyTo, Waiters};
}

pub mod wire {
    pub use crate::wire::{HEADER, Query, QuestionKey, Response, flag, name_end, rcode, rtype, ttl, u16_at, u32_at};
    pub mod query {
        pub use crate::wire::query::PAYLOAD_MIN;
    }
}
