//! A probe as it is written.

use crate::proxy::branch::BranchText;
use crate::sip::Method;

/// What all probes share.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// User-Agent; none when empty.
    pub(super) user_agent: String,
}

impl Template {
    /// Appends the probe of `uri` by `method`, a request of its own, From `from`, the URIs without brackets, sent from `sent_by`
    /// (RFC 3261 §8.1.1: the headers that every request carries).
    pub(super) fn write(
        &self,
        method: &str,
        uri: &str,
        from: &str,
        sent_by: &str,
        branch: &BranchText,
        out: &mut Vec<u8>,
    ) {
        let unique = String::from_utf8_lossy(&branch[8..32]);
        let branch = String::from_utf8_lossy(branch);
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch={branch}\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag={unique}\r\n\
             To: <{uri}>\r\nCall-ID: {unique}@{sent_by}\r\nCSeq: 1 {method}\r\n"
        );
        out.extend_from_slice(text.as_bytes());
        if method == Method::Options.name() {
            // RFC 3261 §11.1: an OPTIONS says which body its answer may have.
            out.extend_from_slice(b"Accept: application/sdp\r\n");
        }
        if !self.user_agent.is_empty() {
            out.extend_from_slice(format!("User-Agent: {}\r\n", self.user_agent).as_bytes());
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::branch::Keys;
    use crate::proxy::slab::Id;
    use crate::sip::scan;

    fn probe(method: &str) -> (Vec<u8>, BranchText) {
        let template = Template { user_agent: "siplane".into() };
        let branch = Keys::new(1).probe_branch(Id { index: 1, generation: 2 });
        let mut out = Vec::new();
        template.write(method, "sip:[2001:db8::1]:5060", "sip:x@h", "192.0.2.1:5060", &branch, &mut out);
        (out, branch)
    }

    #[test]
    fn a_probe_by_any_method_is_a_request_with_that_method_in_cseq_and_only_options_says_what_it_accepts() {
        for method in ["OPTIONS", "INFO", "REGISTER", "MESSAGE", "PING"] {
            let (out, _) = probe(method);
            let message = scan(&out);
            // RFC 3261 §8.1.1.5: the method of CSeq is that of the request.
            assert_eq!((message.defect, message.text(message.head.cseq_method)), (None, method.as_bytes()));
            // RFC 3261 §11.1
            let accepts = String::from_utf8_lossy(&out).contains("\r\nAccept: application/sdp\r\n");
            assert_eq!(accepts, method == "OPTIONS", "{method}");
        }
    }

    #[test]
    fn a_probe_is_a_complete_request() {
        // RFC 3261 §8.1.1
        let (out, branch) = probe("OPTIONS");
        let message = scan(&out);
        assert_eq!((message.defect, message.method()), (None, Some(Method::Options)));
        let via = message.top_via().unwrap();
        assert_eq!(
            (message.text(via.host), via.port, message.text(via.branch)),
            (&b"192.0.2.1"[..], Some(5060), &branch[..])
        );
        assert!(message.from().unwrap().tag.is_set() && !message.to().unwrap().tag.is_set());
    }
}
