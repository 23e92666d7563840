//! Which calls there are, and what becomes of each: parameters are read, permission is looked at, the [`Desk`] is
//! asked, its word becomes a reply.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::explain::Question;
use super::message::{Call, Reply};
use super::monitor::{Filter, Wanted};
use super::{Desk, Names};
use crate::wire::{name, words};

/// Our own interface.
pub(crate) const INTERFACE: &str = "io.onward.Control";
const DESCRIPTION: &str = include_str!("io.onward.Control.varlink");
/// The interface that each Varlink service has.
const SERVICE: &str = "org.varlink.service";
const SERVICE_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// Ask.
    Ask,
    /// Ask, and change something.
    Change,
}

#[derive(Deserialize)]
struct Description {
    interface: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    record_type: String,
    from: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flush {
    name: Option<String>,
    suffix: Option<String>,
}

/// Answers a call.
pub(super) async fn answer(call: &Call, rights: Rights, desk: &impl Desk) -> Reply {
    match call.method.as_str() {
        "org.varlink.service.GetInfo" => Reply::of(info()),
        "org.varlink.service.GetInterfaceDescription" => match read(call) {
            Ok(Description { interface }) => describe(&interface),
            Err(reply) => reply,
        },
        "io.onward.Control.Status" => match desk.status().await {
            Some(status) => Reply::of(json!({ "status": *status })),
            None => Reply::error("io.onward.Control.Busy", json!({})),
        },
        "io.onward.Control.Explain" => match read(call).and_then(question) {
            Ok(question) => match desk.explain(question).await {
                Some(explanation) => Reply::of(json!({ "explanation": explanation })),
                None => Reply::error("io.onward.Control.Busy", json!({})),
            },
            Err(reply) => reply,
        },
        "io.onward.Control.Ask" => match may_change(rights).and_then(|()| read(call)).and_then(question) {
            Ok(question) => Reply::of(json!({ "begun": desk.ask(question) })),
            Err(reply) => reply,
        },
        "io.onward.Control.Monitor" => {
            Reply::error("org.varlink.service.ExpectedMore", json!({})) // with `more`, the server streams it
        }
        "io.onward.Control.Flush" => match read(call).and_then(|flush| names(flush, rights)) {
            Ok(names) => Reply::of(json!({ "forgotten": desk.flush(names).await })),
            Err(reply) => reply,
        },
        other => unknown(other),
    }
}

fn info() -> Value {
    json!({
        "vendor": "Onward",
        "product": "Onward",
        "version": env!("CARGO_PKG_VERSION"),
        "url": "man:onward(8)",
        "interfaces": [SERVICE, INTERFACE],
    })
}

fn describe(interface: &str) -> Reply {
    let text = match interface {
        INTERFACE => DESCRIPTION,
        SERVICE => SERVICE_DESCRIPTION,
        other => return Reply::error("org.varlink.service.InterfaceNotFound", json!({ "interface": other })),
    };
    Reply::of(json!({ "description": text }))
}

fn unknown(method: &str) -> Reply {
    match method.rsplit_once('.') {
        Some((INTERFACE | SERVICE, _)) => {
            Reply::error("org.varlink.service.MethodNotFound", json!({ "method": method }))
        }
        Some((interface, _)) => {
            Reply::error("org.varlink.service.InterfaceNotFound", json!({ "interface": interface }))
        }
        None => invalid("method"),
    }
}

/// Reads the parameters of a call; the error is what the client is told.
fn read<P: DeserializeOwned>(call: &Call) -> Result<P, Reply> {
    let parameters = if call.parameters.is_null() { json!({}) } else { call.parameters.clone() };
    serde_json::from_value(parameters).map_err(|_| invalid("parameters"))
}

fn invalid(parameter: &str) -> Reply {
    Reply::error("org.varlink.service.InvalidParameter", json!({ "parameter": parameter }))
}

/// Reads which events a client wants, where this call is for a stream of them.
pub(super) fn wanted(call: &Call) -> Option<Result<Filter, Reply>> {
    let is_stream = call.method == "io.onward.Control.Monitor" && call.more;
    is_stream.then(|| {
        let wanted: Wanted = read(call)?;
        wanted.read().map_err(|(parameter, why)| {
            Reply::error("org.varlink.service.InvalidParameter", json!({ "parameter": parameter, "why": why }))
        })
    })
}

fn may_change(rights: Rights) -> Result<(), Reply> {
    match rights {
        Rights::Change => Ok(()),
        Rights::Ask => Err(Reply::error("org.varlink.service.PermissionDenied", json!({}))),
    }
}

fn question(asked: Asked) -> Result<Question, Reply> {
    let Asked { name, record_type, from } = asked;
    Ok(Question {
        name: wire(&name)?,
        record_type: words::type_of(&record_type).ok_or_else(|| invalid("record_type"))?,
        from: from.map(|from| from.parse()).transpose().map_err(|_| invalid("from"))?,
    })
}

fn names(flush: Flush, rights: Rights) -> Result<Names, Reply> {
    may_change(rights)?;
    match (flush.name, flush.suffix) {
        (None, None) => Ok(Names::All),
        (Some(one), None) => Ok(Names::One(wire(&one)?)),
        (None, Some(suffix)) => Ok(Names::Under(wire(&suffix)?)),
        (Some(_), Some(_)) => Err(invalid("suffix")),
    }
}

fn wire(text: &str) -> Result<Vec<u8>, Reply> {
    name::of_text(text).map_err(|why| Reply::error("io.onward.Control.NotAName", json!({ "text": text, "why": why })))
}
