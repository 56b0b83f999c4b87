//! RFC 3261 §16.4 and §16.5: what of the route is ours, and where the request goes next.

use super::branch::Keys;
use super::names::Names;
use super::settings::SocketId;
use super::slab::Id;
use crate::sip::{Defect, Line, Message, NameAddr, Scheme, Span, Uri, fields_in, header_is};
use smallvec::SmallVec;

/// One value of the Route headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteValue {
    /// The field that it stands in.
    line: Span,
    /// The URI in it.
    pub(crate) uri: Uri,
    pub(crate) text: Span,
    /// The whole value.
    value: Span,
    /// Where the next value in the same field begins.
    next: Option<u32>,
    first_in_line: bool,
}

impl RouteValue {
    /// What goes away when this value does: its field, or with its comma only itself.
    pub(crate) const fn cut(&self) -> Span {
        match self.next {
            Some(next) => Span { start: self.value.start, end: next },
            None => self.line,
        }
    }
}

/// What to change in a request's route and target before it is forwarded, and what was learnt on the way.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The Request-URI that counts: the received one, or the one that a strict router put at the end of the route.
    pub(crate) uri: Uri,
    pub(crate) uri_text: Span,
    /// Parts of Route fields that go away.
    pub(crate) cuts: SmallVec<[Span; 4]>,
    /// The first Route value that stays.
    pub(crate) next: Option<RouteValue>,
    /// The dialog that our own Route value names.
    pub(crate) cookie: Option<Id>,
    /// Our second Route value names the socket to leave by (double Record-Route).
    pub(crate) leave_by: Option<SocketId>,
    /// A Route value of ours was there.
    pub(crate) was_ours: bool,
    /// Parts of the Request-URI to cut: a maddr that names us, with port and transport (RFC 3261 §16.4).
    pub(crate) uri_cuts: SmallVec<[Span; 3]>,
}

impl Plan {
    /// RFC 3261 §16.4 for `message`.
    ///
    /// # Errors
    /// [`Defect::RequestUri`], [`Defect::Scheme`] and [`Defect::Route`] when these parts cannot be used.
    #[inline]
    pub(crate) fn new(message: &Message<'_>, names: &Names, keys: &Keys) -> Result<Self, Defect> {
        let bytes = message.bytes;
        let uri = Uri::parse(bytes, message.head.uri).ok_or(Defect::RequestUri)?;
        let mut plan = Self {
            uri,
            uri_text: message.head.uri,
            cuts: SmallVec::new(),
            next: None,
            cookie: None,
            leave_by: None,
            was_ours: false,
            uri_cuts: SmallVec::new(),
        };
        match uri.scheme {
            Scheme::Sip | Scheme::Tel => {}
            // RFC 3261 §16.6 item 4: sips needs TLS to the next hop, which is not there yet; other schemes nobody can route.
            Scheme::Sips | Scheme::Other => return Err(Defect::Scheme),
        }
        // RFC 3261 §16.4: headers have no place in a Request-URI.
        if uri.headers.is_set() {
            return Err(Defect::RequestUri);
        }
        if !uri.params.is_empty() {
            plan.strip_maddr(bytes, names);
        }
        if message.head.route.is_set() {
            let mut values = Routes::new();
            routes(message, &mut values)?;
            plan.undo_strict(bytes, names, keys, &mut values)?;
            plan.pop_own(bytes, names, keys, &values);
        }
        Ok(plan)
    }

    /// RFC 3261 §16.4: a maddr in the Request-URI that names us is stripped, with any port or transport.
    fn strip_maddr(&mut self, bytes: &[u8], names: &Names) {
        let Some(maddr) = self.uri.param(bytes, b"maddr") else { return };
        if !names.is_us(maddr.of(bytes), self.uri.port) {
            return;
        }
        let port_start = self.uri.host.end;
        if self.uri.params.start > port_start {
            self.uri_cuts.push(Span { start: port_start, end: self.uri.params.start });
        }
        for name in [&b"maddr"[..], b"transport"] {
            if let Some(value) = self.uri.param(bytes, name) {
                let start = value.start - if value.is_empty() { 0 } else { 1 } - name.len() as u32 - 1;
                self.uri_cuts.push(Span { start, end: value.end });
            }
        }
        self.uri_cuts.sort_unstable_by_key(|cut| cut.start);
        self.uri.port = None;
        // What is cut does not lead the request back to us either.
        self.uri.params = Span::default();
    }

    /// RFC 3261 §16.4: a strict router before us moved the real Request-URI to the end of the route.
    fn undo_strict(&mut self, bytes: &[u8], names: &Names, keys: &Keys, values: &mut Routes) -> Result<(), Defect> {
        let uri = self.uri;
        if !uri.user.is_set() && uri.has_param(bytes, b"lr") && names.is_us(uri.host.of(bytes), uri.port) {
            self.learn(bytes, keys, &Marks::read(bytes, &uri));
            if let Some(last) = values.pop() {
                self.uri = last.uri;
                self.uri_text = last.text;
                self.cut_last(values.last(), &last);
                if let Some(before) = values.last_mut().filter(|_| !last.first_in_line) {
                    before.next = None;
                }
            }
            if !matches!(self.uri.scheme, Scheme::Sip | Scheme::Tel) {
                return Err(Defect::Scheme);
            }
        }
        Ok(())
    }

    fn cut_last(&mut self, before: Option<&RouteValue>, last: &RouteValue) {
        match before.filter(|_| !last.first_in_line) {
            Some(before) => self.cuts.push(Span { start: before.value.end, end: last.value.end }),
            None => self.cuts.push(last.line),
        }
    }

    /// RFC 3261 §16.4: a first Route value that names us is removed; of a double Record-Route both.
    fn pop_own(&mut self, bytes: &[u8], names: &Names, keys: &Keys, values: &Routes) {
        let mut own = 0;
        for value in values {
            let Some(socket) = names.socket(value.uri.host.of(bytes), value.uri.port) else { break };
            let marks = Marks::read(bytes, &value.uri);
            if own == 1 {
                if !marks.double {
                    break;
                }
                self.leave_by = Some(socket);
            }
            self.learn(bytes, keys, &marks);
            own += 1;
            if own == 2 || !marks.double {
                break;
            }
        }
        self.cut_first(values, own);
        self.next = values.get(own).copied();
    }

    fn cut_first(&mut self, values: &Routes, count: usize) {
        for (at, value) in values.iter().take(count).enumerate() {
            let end = match (value.next, values.get(at + 1)) {
                (Some(next), Some(_)) => next,
                // Its field holds nothing else, or nothing else any more.
                _ => value.line.end,
            };
            let whole_line = end == value.line.end && (value.first_in_line || at > 0);
            let start = if whole_line { value.line.start } else { value.value.start };
            self.cuts.push(Span { start, end });
        }
    }

    fn learn(&mut self, bytes: &[u8], keys: &Keys, marks: &Marks) {
        self.was_ours = true;
        self.cookie = self.cookie.or_else(|| keys.dialog(marks.cookie.of(bytes)));
    }
}

/// What we wrote into a Record-Route value of ours, read at once.
#[derive(Default)]
struct Marks {
    /// `did`: the dialog cookie; unset without one.
    cookie: Span,
    /// `r2`: it is one of two.
    double: bool,
}

impl Marks {
    fn read(bytes: &[u8], uri: &Uri) -> Self {
        let mut marks = Self::default();
        for (name, value) in uri.params(bytes) {
            match name {
                b"lr" => {}
                b"did" if !marks.cookie.is_set() => marks.cookie = value,
                _ if name.eq_ignore_ascii_case(b"r2") => marks.double = true,
                _ if !marks.cookie.is_set() && name.eq_ignore_ascii_case(b"did") => marks.cookie = value,
                _ => {}
            }
        }
        marks
    }
}

type Routes = SmallVec<[RouteValue; 4]>;

/// All Route values in order.
fn routes(message: &Message<'_>, values: &mut Routes) -> Result<(), Defect> {
    let Line { line, value } = message.head.route;
    if message.head.routes_end == line.end {
        return line_values(message.bytes, line, value, values);
    }
    let lines = fields_in(message.bytes, Span { start: line.start, end: message.head.routes_end });
    for field in lines.filter(|field| header_is(message.text(field.name), b"route")) {
        line_values(message.bytes, field.line, field.value, values)?;
    }
    Ok(())
}

fn line_values(bytes: &[u8], line: Span, mut rest: Span, values: &mut Routes) -> Result<(), Defect> {
    rest.start += (rest.len() - rest.of(bytes).trim_ascii_start().len()) as u32;
    let start = rest.start;
    loop {
        let name_addr = NameAddr::parse(bytes, rest).ok_or(Defect::Route)?;
        let uri = Uri::parse(bytes, name_addr.uri).ok_or(Defect::Route)?;
        let first_in_line = rest.start == start;
        let (value, next) = (name_addr.value, name_addr.next);
        values.push(RouteValue { line, uri, text: name_addr.uri, value, next, first_in_line });
        match name_addr.next {
            Some(next) => rest.start = next,
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Listen, Settings, Transport};
    use super::*;
    use crate::sip::{Splice, scan};

    fn names() -> Names {
        let listen = |port: u16| Listen {
            transport: Transport::Udp,
            name: String::new(),
            address: ([192, 0, 2, 1], port).into(),
            advertised: format!("192.0.2.1:{port}"),
        };
        Names::new(&Settings { listen: vec![listen(5060), listen(5070)], ..Settings::default() })
    }

    /// The Route lines after ours are cut, the effective Request-URI, and the next hop's URI.
    fn routed(uri: &str, routes: &str) -> (String, String, Option<String>) {
        let text = format!("BYE {uri} SIP/2.0\r\n{routes}X: y\r\n\r\n");
        let message = scan(text.as_bytes());
        let plan = Plan::new(&message, &names(), &Keys::new(1)).unwrap();
        let mut splice = Splice::new();
        plan.cuts.iter().for_each(|cut| splice.remove(*cut));
        let mut out = Vec::new();
        splice.write(message.bytes, message.bytes.len(), &mut out);
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<_> = out.lines().skip(1).take_while(|line| !line.starts_with('X')).collect();
        let of = |span: Span| String::from_utf8(message.text(span).to_vec()).unwrap();
        (lines.join("|"), of(plan.uri_text), plan.next.map(|next| of(next.text)))
    }

    const US: &str = "<sip:192.0.2.1;lr>";

    #[test]
    fn the_first_route_is_removed_when_it_is_ours_and_only_it() {
        // RFC 3261 §16.4
        let far = |text: &str| Some(text.to_owned());
        assert_eq!(routed("sip:a@b", &format!("Route: {US}\r\n")), (String::new(), "sip:a@b".into(), None));
        assert_eq!(
            routed("sip:a@b", &format!("Route: {US} , <sip:x;lr>\r\nRoute: {US}\r\n")),
            (format!("Route: <sip:x;lr>|Route: {US}"), "sip:a@b".into(), far("sip:x;lr"))
        );
        assert_eq!(
            routed("sip:a@b", &format!("Route: {US}\r\nRoute: <sip:x;lr>, {US}\r\n")),
            (format!("Route: <sip:x;lr>, {US}"), "sip:a@b".into(), far("sip:x;lr"))
        );
        assert_eq!(
            routed("sip:a@b", "Route: <sip:192.0.2.1:5099;lr>\r\n"),
            ("Route: <sip:192.0.2.1:5099;lr>".into(), "sip:a@b".into(), far("sip:192.0.2.1:5099;lr"))
        );
    }

    #[test]
    fn both_values_of_a_double_record_route_are_removed() {
        // RFC 3261 §16.4
        let (a, b) = ("<sip:192.0.2.1;lr;r2=on>", "<sip:192.0.2.1:5070;lr;r2=on>");
        assert_eq!(routed("sip:a@b", &format!("Route: {a},{b}, <sip:x;lr>\r\n")).0, "Route: <sip:x;lr>");
        assert_eq!(routed("sip:a@b", &format!("Route: {a}\r\nRoute: {b}, <sip:x;lr>\r\n")).0, "Route: <sip:x;lr>");
        assert_eq!(routed("sip:a@b", &format!("Route: {a}, {b}\r\n")).0, "");
        assert_eq!(routed("sip:a@b", &format!("Route: {US}, {b}\r\n")).0, format!("Route: {b}"));
    }

    #[test]
    fn what_a_strict_router_moved_to_the_end_comes_back() {
        // RFC 3261 §16.4
        assert_eq!(
            routed("sip:192.0.2.1;lr", "Route: <sip:x;lr>, <sip:a@b>\r\n"),
            ("Route: <sip:x;lr>".into(), "sip:a@b".into(), Some("sip:x;lr".into()))
        );
        assert_eq!(routed("sip:192.0.2.1;lr", "Route: <sip:a@b>\r\n"), (String::new(), "sip:a@b".into(), None));
    }

    #[test]
    fn a_maddr_that_names_us_is_cut_with_port_and_transport() {
        // RFC 3261 §16.4
        let text = "BYE sip:a@b:5060;x=1;maddr=192.0.2.1;transport=udp;y SIP/2.0\r\n\r\n";
        let message = scan(text.as_bytes());
        let plan = Plan::new(&message, &names(), &Keys::new(1)).unwrap();
        let mut splice = Splice::new();
        plan.uri_cuts.iter().for_each(|cut| splice.remove(*cut));
        let mut out = Vec::new();
        splice.write_part(message.bytes, plan.uri_text, &mut out);
        assert_eq!(out, b"sip:a@b;x=1;y");
    }

    #[test]
    fn uris_that_cannot_be_routed_are_refused() {
        let plan = |uri: &str| {
            let text = format!("BYE {uri} SIP/2.0\r\n\r\n");
            Plan::new(&scan(text.as_bytes()), &names(), &Keys::new(1)).err()
        };
        // RFC 3261 §16.3
        assert_eq!(plan("mailto:a"), Some(Defect::Scheme));
        assert_eq!(plan("sips:a@b"), Some(Defect::Scheme));
        assert_eq!(plan("sip:a@b?Route=x"), Some(Defect::RequestUri));
        assert_eq!(plan("nothing"), Some(Defect::RequestUri));
        assert_eq!(plan("tel:+1"), None);
    }
}
