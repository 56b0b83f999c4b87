//! One destination that comes while the process runs, in the columns of a `dispatcher.list` (Kamailio's `dispatcher.add`).

use super::list_destination::{self, Draft};
use super::list_file::{ListSurroundings, Notes};
use super::list_line::Columns;
use super::problem::{Kind, Problems};
use super::{Config, socket};
use crate::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec};

/// The columns of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Added<'t> {
    /// SIP URI; `sip:` may be left out.
    pub uri: &'t str,
    /// Kamailio's flags: 1 inactive, 4 disabled, 8 probing, 16 and 32 no ping.
    pub flags: u64,
    /// Higher comes first.
    pub priority: u64,
    /// `name=value;…`.
    pub attrs: &'t str,
}

/// The sets with the destination that these columns mean behind those of set `id`, which comes when it is not there; and what is odd
/// about them. `config` says by which sockets it is reached, and whether it is probed.
///
/// # Errors
///
/// All [`Problems`], when it cannot be used.
pub fn added(
    columns: &Added<'_>,
    id: SetId,
    mut sets: Vec<SetSpec>,
    config: &Config,
) -> Result<(Vec<SetSpec>, Problems), Problems> {
    let mut notes = Notes::new("dispatcher.add");
    let Added { uri, flags, priority, attrs } = *columns;
    if let Some(stranger) = uri.chars().find(|c| c.is_whitespace() || *c == '#') {
        notes.leave_out("uri", format!("{stranger:?} in a URI"), "a SIP URI, like sip:192.0.2.11:5060");
        return Err(notes.into_problems());
    }
    let listen = &config.settings.listen;
    let priority = i64::try_from(priority).unwrap_or(i64::MAX);
    let columns = Columns { uri, flags, priority, attrs, ..Columns::default() };
    let draft = list_destination::read(
        &columns,
        &mut notes,
        ListSurroundings { listen, probes: !config.prober.interval.is_zero() },
    );
    let problems = notes.into_problems();
    match draft {
        Some(draft) if problems.iter().all(|problem| problem.kind == Kind::Warning) => {
            let position = set_position(&mut sets, id);
            let spec = finish(draft, &sets[position]);
            sets[position].destinations.push(with_defaults(spec, config));
            Ok((sets, problems))
        }
        _ => Err(problems),
    }
}

/// Where set `id` is; a new one is at the end.
fn set_position(sets: &mut Vec<SetSpec>, id: SetId) -> usize {
    sets.iter().position(|set| set.id == id).unwrap_or_else(|| {
        sets.push(SetSpec::new(id, Algorithm::RoundRobin, Vec::new()));
        sets.len() - 1
    })
}

fn with_defaults(spec: DestinationSpec, config: &Config) -> DestinationSpec {
    let mut alone = [SetSpec::new(SetId(0), Algorithm::RoundRobin, vec![spec.clone()])];
    let (own, ping) = (config.default_socket.map(|socket| socket.0), config.prober.socket.map(|socket| socket.0));
    socket::Defaults { own, ping }.apply(&mut alone, &config.settings.listen);
    let [set] = alone;
    set.destinations.into_iter().next().unwrap_or(spec)
}

/// A set with shares on some has 0 on the others, as a list has it.
fn finish(draft: Draft, set: &SetSpec) -> DestinationSpec {
    let weighted = |share: fn(&DestinationSpec) -> u32| set.destinations.iter().any(|known| share(known) > 1);
    DestinationSpec {
        weight: draft.weight.unwrap_or_else(|| u32::from(!weighted(|destination| destination.weight))),
        rweight: draft.rweight.unwrap_or_else(|| u32::from(!weighted(|destination| destination.rweight))),
        ..draft.spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(columns: Added<'_>, more: &str) -> Result<DestinationSpec, String> {
        let text = format!(
            "listen = [\"udp:127.0.0.1:5060\", \"udp:127.0.0.1:5070\"]\n{more}\n[prober]\ninterval_ms = 1000\n\
             [[set]]\nid = 1\nalgorithm = \"weight\"\n\
             destinations = [{{ uri = \"sip:192.0.2.9\", weight = 30 }}]\n"
        );
        let config = crate::config::parse(&text, "f").unwrap();
        let sets = added(&columns, SetId(1), config.sets.clone(), &config).map_err(|problems| problems.to_string())?.0;
        Ok(sets[0].destinations[1].clone())
    }

    #[test]
    fn the_columns_mean_what_they_mean_in_a_list() {
        let columns = Added { uri: "192.0.2.1:5070", flags: 9, priority: 3, attrs: "duid=gw1;weight=30;maxload=7;x=y" };
        let spec = read(columns, "").unwrap();
        assert_eq!((spec.uri.as_str(), spec.duid.as_str(), spec.priority), ("sip:192.0.2.1:5070", "gw1", 3));
        assert_eq!((spec.weight, spec.rweight, spec.maxload), (30, 1, 7));
        assert!(spec.inactive && spec.probe.flagged && !spec.disabled);
        assert_eq!(spec.attrs, columns.attrs);
    }

    #[test]
    fn a_destination_without_weight_in_a_set_with_weights_is_only_for_when_others_fail() {
        let spec = read(Added { uri: "sip:192.0.2.2", ..Added::default() }, "").unwrap();
        assert_eq!((spec.weight, spec.rweight), (0, 1));
    }

    #[test]
    fn it_leaves_by_the_default_socket_and_an_unknown_set_comes_with_it() {
        let spec = read(Added { uri: "sip:192.0.2.2", ..Added::default() }, "default_socket = \"udp:127.0.0.1:5070\"");
        assert_eq!(spec.unwrap().socket.map(|socket| socket.number), Some(1));
        let config = crate::config::parse(crate::config::BUILT_IN, "f").unwrap();
        let columns = Added { uri: "sip:192.0.2.2", ..Added::default() };
        let sets = added(&columns, SetId(7), config.sets.clone(), &config).unwrap().0;
        let last = sets.last().unwrap();
        assert_eq!((last.id, last.algorithm, last.destinations.len()), (SetId(7), Algorithm::RoundRobin, 1));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let told = |uri, attrs| read(Added { uri, attrs, ..Added::default() }, "").unwrap_err();
        assert!(told("bogus", "").contains("uri: found"), "{}", told("bogus", ""));
        assert!(told("sip:192.0.2.1 x", "").contains("' ' in a URI"));
        assert!(told("sip:192.0.2.1", "duid=\"x").contains("attrs"));
    }
}
