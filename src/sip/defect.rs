//! What can be wrong with a message, whose fault it is, and what goes on the wire for it: one table.

use super::Status;

/// Who is to blame for a message that cannot be processed, and so what is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// It is not SIP, or cannot be answered: dropped and counted.
    Drop,
    /// It is SIP but wrong: a request is answered with this status and phrase, without creating state; an ACK or a response is
    /// dropped (RFC 3261 §17.1.1.3: an ACK is never answered).
    Reject(Status, &'static str),
}

macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident => $blame:expr, $label:literal;)*) => {
        /// Why a message is not processed: a closed list, each with a counter of its own.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Defect { $($(#[$doc])* $name,)* }

        impl Defect {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$name),*].len();
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),*];

            /// What to do about it.
            #[must_use]
            pub const fn blame(self) -> Blame {
                match self { $(Self::$name => $blame,)* }
            }

            /// The label of its counter.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

const fn bad(phrase: &'static str) -> Blame {
    Blame::Reject(Status::BAD_REQUEST, phrase)
}

defects! {
    /// Nothing but CR and LF: a keep-alive (RFC 3261 §7.5).
    KeepAlive => Blame::Drop, "keep_alive";
    /// The first line is neither a request line nor a status line: STUN, scanners, noise.
    NotSip => Blame::Drop, "not_sip";
    /// No usable Via on top: nobody to answer.
    NoVia => Blame::Drop, "no_via";
    /// Parts of the request line are separated by other than one space, or the Request-URI is not one (RFC 3261 §7.1).
    StartLine => bad("Malformed Request Line"), "start_line";
    /// Another version than SIP/2.0 (RFC 3261 §21.5.7).
    Version => Blame::Reject(Status::VERSION_NOT_SUPPORTED, "Version Not Supported"), "version";
    /// Status code outside 100-699 (RFC 3261 §7.2).
    StatusCode => Blame::Drop, "status_code";
    /// CR without LF, LF without CR, or NUL in the head: two parsers would disagree about it.
    LineEnd => bad("Bare CR, LF or NUL in Header"), "line_end";
    /// A header line without colon or name.
    HeaderLine => bad("Malformed Header Line"), "header_line";
    /// The head does not end with an empty line.
    HeadEnd => bad("Header Section Not Terminated"), "head_end";
    /// More lines than `limits::HEADER_LINES_MAX`.
    HeaderLines => bad("Too Many Header Lines"), "header_lines";
    /// A larger head than `limits::HEAD_BYTES_MAX`.
    HeadSize => Blame::Reject(Status::MESSAGE_TOO_LARGE, "Message Too Large"), "head_size";
    /// From, To, Call-ID, CSeq or Max-Forwards twice.
    Duplicate => bad("Duplicate Header"), "duplicate";
    /// One of the headers that every request carries is missing (RFC 3261 §8.1.1).
    Missing => bad("Missing Mandatory Header"), "missing";
    /// Via on top cannot be read; where a reply can still find its way it is sent.
    Via => bad("Malformed Via"), "via";
    /// From cannot be read.
    From => bad("Malformed From"), "from";
    /// To cannot be read.
    To => bad("Malformed To"), "to";
    /// Call-ID is empty.
    CallId => bad("Malformed Call-ID"), "call_id";
    /// CSeq is not a number below 2^31 and a method (RFC 3261 §8.1.1.5).
    CSeq => bad("Malformed CSeq"), "cseq";
    /// CSeq names another method than the request line (RFC 3261 §8.1.1.5).
    CSeqMethod => bad("CSeq Method Mismatch"), "cseq_method";
    /// Max-Forwards is not a number from 0 to 255 (RFC 3261 §20.22).
    MaxForwards => bad("Malformed Max-Forwards"), "max_forwards";
    /// Max-Breadth is not a number (RFC 5393 §5.3.3).
    MaxBreadth => bad("Malformed Max-Breadth"), "max_breadth";
    /// Content-Length is not a number, or stands twice with different values.
    ContentLength => bad("Malformed Content-Length"), "content_length";
    /// Content-Length reaches beyond the datagram (RFC 3261 §18.3).
    Truncated => bad("Content-Length Beyond Datagram"), "truncated";
    /// Route or Record-Route cannot be read.
    Route => bad("Malformed Route"), "route";
    /// The Request-URI cannot be read.
    RequestUri => bad("Malformed Request-URI"), "request_uri";
    /// A Request-URI of a scheme that nobody here can route (RFC 3261 §16.3 item 2).
    Scheme => Blame::Reject(Status::UNSUPPORTED_URI_SCHEME, "Unsupported URI Scheme"), "scheme";
    /// More Via values than `limits::VIAS_MAX`.
    Vias => Blame::Reject(Status::TOO_MANY_HOPS, "Too Many Hops"), "vias";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_has_a_label_of_its_own_and_its_number_as_index() {
        for (index, defect) in Defect::ALL.iter().enumerate() {
            assert_eq!(*defect as usize, index);
            assert_eq!(Defect::ALL.iter().filter(|other| other.label() == defect.label()).count(), 1, "{defect:?}");
        }
    }
}
