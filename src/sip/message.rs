//! A message, and where the things in it are that a proxy needs.

use super::{Defect, Method, NameAddr, Span, Status, Via};

/// One header field as it stands in the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// From its name to behind its line end, continuation lines included.
    pub line: Span,
    /// Its value without the white space around it.
    pub value: Span,
}

impl Line {
    /// Whether the message has it.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.line.is_set()
    }
}

/// What the first line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// Neither a request nor a response.
    #[default]
    Noise,
    /// A request line (RFC 3261 §7.1).
    Request(Method),
    /// A status line (RFC 3261 §7.2).
    Response(Status),
}

/// Where things are in a message. Fields that the message lacks are unset.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// What the first line says.
    pub start: Start,
    /// The method of a request.
    pub method: Span,
    /// The Request-URI of a request.
    pub uri: Span,
    /// Behind the first line: where headers begin.
    pub headers: u32,
    /// The first Via.
    pub via: Line,
    /// From the first Via line to behind the last one.
    pub vias: Span,
    /// Whether only Via lines stand in [`Head::vias`].
    pub vias_adjoin: bool,
    /// Via lines.
    pub via_lines: u16,
    /// From.
    pub from: Line,
    /// To.
    pub to: Line,
    /// Call-ID.
    pub call_id: Line,
    /// CSeq.
    pub cseq: Line,
    /// The number in CSeq, below 2^31.
    pub cseq_number: u32,
    /// The method in CSeq.
    pub cseq_method: Span,
    /// Max-Forwards.
    pub max_forwards: Line,
    /// Its number, 0-255.
    pub max_forwards_value: u8,
    /// Max-Breadth (RFC 5393).
    pub max_breadth: Line,
    /// Its number.
    pub max_breadth_value: u32,
    /// Content-Length.
    pub content_length: Line,
    /// Its number.
    pub content_length_value: u32,
    /// The first Route.
    pub route: Line,
    /// Behind the last Route line.
    pub routes_end: u32,
    /// The first Proxy-Require.
    pub proxy_require: Line,
    /// Timestamp, for the 100 (RFC 3261 §8.2.6.1).
    pub timestamp: Line,
    /// Where the empty line begins: behind the last header.
    pub headers_end: u32,
    /// The body: Content-Length bytes, or all the rest (RFC 3261 §18.3).
    pub body: Span,
}

/// A message and where things are in it.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The datagram.
    pub bytes: &'a [u8],
    /// Where things are.
    pub head: Head,
    /// The first thing wrong with it.
    pub defect: Option<Defect>,
}

impl<'a> Message<'a> {
    /// The bytes at `span`.
    #[must_use]
    pub fn text(&self, span: Span) -> &'a [u8] {
        span.of(self.bytes)
    }

    /// The method of a request.
    #[must_use]
    pub const fn method(&self) -> Option<Method> {
        match self.head.start {
            Start::Request(method) => Some(method),
            _ => None,
        }
    }

    /// The status of a response.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        match self.head.start {
            Start::Response(status) => Some(status),
            _ => None,
        }
    }

    /// The Call-ID value.
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        self.text(self.head.call_id.value)
    }

    /// The topmost Via value.
    ///
    /// # Errors
    /// [`Defect::NoVia`] without one, [`Defect::Via`] when it cannot be read.
    pub fn top_via(&self) -> Result<Via, Defect> {
        if !self.head.via.is_set() {
            return Err(Defect::NoVia);
        }
        Via::parse(self.bytes, self.head.via.value).ok_or(Defect::Via)
    }

    /// From.
    ///
    /// # Errors
    /// [`Defect::From`] when it cannot be read.
    pub fn from(&self) -> Result<NameAddr, Defect> {
        NameAddr::whole(self.bytes, self.head.from.value).ok_or(Defect::From)
    }

    /// To.
    ///
    /// # Errors
    /// [`Defect::To`] when it cannot be read.
    pub fn to(&self) -> Result<NameAddr, Defect> {
        NameAddr::whole(self.bytes, self.head.to.value).ok_or(Defect::To)
    }

    /// Behind the last byte that belongs to the message; what a datagram holds beyond is discarded (RFC 3261 §18.3).
    #[must_use]
    pub const fn end(&self) -> usize {
        self.head.body.end as usize
    }
}
