//! Overload control towards the dispatcher's destinations (RFC 7339, RFC 7415): we are the client there. Towards callers we are a
//! server without it.
//!
//! Offered is it in the Via of every request that a set with overload control sends to its destinations, and so in the CANCEL and
//! the ACK of the same hop. Only new requests are counted and held back: what belongs to a dialog follows its Route.

use super::client::NotStarted;
use super::evidence;
use super::forward::Hop;
use super::request::Incoming;
use super::response::Answer;
use super::slab::Id;
use super::{Proxy, Turn};
use crate::dispatcher::{Attempt, OverloadAlgorithm, OverloadReport, Set};
use crate::sip::{Message, Span, fields_in, header_is};
use core::time::Duration;
use memchr::memchr_iter;

/// RFC 7339 §4.1, §4.2: what stands in our Via towards a destination that may report overload.
pub(super) const OFFER: &[u8] = b";oc;oc-algo=\"loss,rate\"";

/// The namespaces of Resource-Priority whose requests go first: emergency calls and authorized priority calls (RFC 7135, RFC 4412
/// §10). Others have values for routine traffic, too.
const PRIORITIZED: [&[u8]; 3] = [b"esnet", b"ets", b"wps"];

impl Proxy {
    /// Obeys what the destination of branch `id` reports in our Via. Only the destination itself may: not who is further on.
    pub(super) fn note_overload(&self, turn: &Turn<'_>, id: Id, answer: &Answer<'_>) {
        let Some(client) = self.clients.get(id) else { return };
        let Some(destination) = evidence::of(turn.policy, client.destination) else { return };
        if client.address.ip().to_canonical() != answer.source.ip().to_canonical() {
            return;
        }
        let Some(params) = answer.via.overload(answer.message.bytes) else { return };
        let report = OverloadReport {
            algorithm: if params.is_rate { OverloadAlgorithm::Rate } else { OverloadAlgorithm::Loss },
            value: params.value,
            validity: Duration::from_millis(params.validity_ms.into()),
            sequence: params.sequence,
        };
        turn.policy.table.states().set_overload(destination.state(), &report, turn.now);
    }

    /// RFC 7339 §5.5: no more requests than the destination at `hop` wants. Who is held back goes on to the next target.
    pub(super) fn heed_overload(
        &mut self,
        turn: &Turn<'_>,
        server: Id,
        incoming: &Incoming<'_>,
        hop: Hop,
    ) -> Result<(), NotStarted> {
        let Some(destination) = hop.destination else { return Ok(()) };
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return Ok(()) };
        // Its place is the one before those that are still to come.
        let attempt = Attempt { is_first: context.tried == 1, is_prioritized: is_prioritized(incoming) };
        if turn.policy.table.states().admits(destination.state(), attempt, turn.now) {
            return Ok(());
        }
        context.no_room = true;
        Err(NotStarted)
    }
}

/// RFC 7339 §5.10.1: whether the request goes before others to destinations of `set` that are in overload.
pub(super) fn goes_first(set: &Set, incoming: &Incoming<'_>) -> bool {
    set.overload_control && is_prioritized(incoming)
}

pub(super) fn is_prioritized(incoming: &Incoming<'_>) -> bool {
    let message = incoming.message;
    is_emergency(message.text(incoming.to.uri)) || resource_priority(message)
}

/// RFC 5031: an emergency service. In To (RFC 6881 leaves it there): a Request-URI of it is 416, as that of any URN.
fn is_emergency(uri: &[u8]) -> bool {
    const SOS: &[u8] = b"urn:service:sos";
    let (start, rest) = uri.split_at(SOS.len().min(uri.len()));
    start.eq_ignore_ascii_case(SOS) && matches!(rest.first(), None | Some(b'.'))
}

/// Whether a Resource-Priority names one of [`PRIORITIZED`]. Few lines begin with an R: that is quicker to look for than all names.
fn resource_priority(message: &Message<'_>) -> bool {
    let (bytes, start, end) = (message.bytes, message.head.headers as usize, message.head.headers_end as usize);
    let starts = core::iter::once(start).chain(memchr_iter(b'\n', &bytes[start..end]).map(|at| start + at + 1));
    let named = starts.filter(|at| bytes.get(*at).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'r')));
    let mut fields = named.filter_map(|at| fields_in(bytes, Span::new(at, end)).next());
    fields.any(|field| {
        header_is(message.text(field.name), b"resource-priority") && is_priority(message.text(field.value))
    })
}

/// RFC 4412 §3.1: `namespace.priority`, and more behind commas.
fn is_priority(values: &[u8]) -> bool {
    values.split(|byte| *byte == b',').any(|value| {
        let name = value.split(|byte| *byte == b'.').next().unwrap_or_default().trim_ascii();
        PRIORITIZED.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::scan;

    #[test]
    fn emergency_and_authorized_calls_go_first() {
        // RFC 7135, RFC 4412 §3.1, §10
        let is_first = |lines: &str| {
            let text = format!("INVITE sip:b SIP/2.0\r\n{lines}To: x\r\n\r\nResource-Priority: ets.0\r\n");
            resource_priority(&scan(text.as_bytes()))
        };
        assert!(is_first("Resource-Priority: esnet.1\r\n"));
        assert!(is_first("X: y\r\nresource-PRIORITY :\r\n q735.3 , WPS.0\r\n"));
        assert!(is_first("Route: <sip:a>\r\nResource-Priority: dsn.flash\r\nResource-Priority: ets.4\r\n"));
        for lines in
            ["", "Resource-Priority: q735.4\r\n", "Resource-Priority: etsx.1\r\n", "X-Resource-Priority: ets.1\r\n"]
        {
            assert!(!is_first(lines), "{lines}");
        }
    }

    #[test]
    fn emergency_services_are_known_by_their_urn() {
        // RFC 5031 §4.2
        for (uri, wanted) in [
            ("urn:service:sos", true),
            ("URN:Service:SOS.fire", true),
            ("urn:service:sosx", false),
            ("urn:service:counseling", false),
            ("sip:urn:service:sos", false),
            ("", false),
        ] {
            assert_eq!(is_emergency(uri.as_bytes()), wanted, "{uri}");
        }
    }
}
