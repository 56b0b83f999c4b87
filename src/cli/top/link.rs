//! The thread that talks with siplane: the view never waits for an answer.

use super::model::Wish;
use super::overview::{Event, Overview};
use crate::cli::ctl::client::{Client, Failure, NO_METHOD, Outcome};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Events that are asked for; no terminal shows more.
const EVENTS: u64 = 50;

/// What comes from siplane.
#[derive(Debug)]
pub(super) enum Said {
    Overview(Box<Overview>),
    /// The last events, the last one last.
    Events(Vec<Event>),
    /// This siplane has no method that tells events.
    NoEvents,
    /// There is no connection, and why.
    Lost(String),
    /// A wish is fulfilled.
    Done(String),
    /// A wish is not fulfilled, and why.
    NotDone(String),
}

/// Both ends of it; dropped, the thread ends with its next look.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wishes: Sender<Wish>,
    pub(super) said: Receiver<Said>,
}

/// A look that takes long is followed by so many times as long without one: ten thousand destinations are work for siplane, too.
const REST_PER_LOOK: u32 = 4;
/// But no more than this, nor less than the interval that was asked for.
const REST_MAX: Duration = Duration::from_secs(1);

/// Why the thread ends: nobody listens.
struct Unheard;

/// One overview.
pub(super) fn overview(client: &mut Client) -> Outcome<Overview> {
    let answer = client.call("dispatcher.overview", json!([]))?;
    let odd = || Failure::Fault { code: 0, message: String::from("dispatcher.overview gives no overview") };
    Overview::read(&answer).ok_or_else(odd)
}

/// The last events; `None` if this siplane has none to tell.
pub(super) fn events(client: &mut Client) -> Outcome<Option<Vec<Event>>> {
    match client.call("events.list", json!([null, EVENTS])) {
        Ok(answer) => Ok(Some(Event::list(&answer))),
        Err(Failure::Fault { code: NO_METHOD, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Starts the thread, which looks every `interval`.
pub(super) fn start(path: PathBuf, interval: Duration) -> io::Result<Link> {
    let (wishes, wished) = channel();
    let (told, said) = channel();
    let talker = Talker { path, interval, wished, told };
    std::thread::Builder::new().name(String::from("top-link")).spawn(move || talker.run())?;
    Ok(Link { wishes, said })
}

struct Talker {
    path: PathBuf,
    interval: Duration,
    wished: Receiver<Wish>,
    told: Sender<Said>,
}

impl Talker {
    /// Talks, and connects again when the connection is lost, until nobody listens.
    fn run(self) {
        while self.talk().is_ok() {}
    }

    /// Until the connection is lost, and then as long as an interval.
    fn talk(&self) -> Result<(), Unheard> {
        let lost = match Client::connect(&self.path) {
            Ok(mut client) => loop {
                let begun = Instant::now();
                match self.look(&mut client) {
                    Ok(()) => self.rest(rest_after(begun.elapsed()).max(self.interval), Some(&mut client))?,
                    Err(failure) => break failure,
                }
            },
            Err(failure) => failure,
        };
        self.tell(Said::Lost(lost.text()))?;
        self.rest(self.interval, None)
    }

    fn look(&self, client: &mut Client) -> Outcome<()> {
        // Whoever has gone away is noticed at the next rest.
        let _ = self.tell(Said::Overview(Box::new(overview(client)?)));
        let _ = self.tell(events(client)?.map_or(Said::NoEvents, Said::Events));
        Ok(())
    }

    /// Fulfils wishes for that time, or until there was one: what it did is looked at without delay. A wish that comes while there is
    /// no connection is refused, not kept: it would come as a surprise.
    fn rest(&self, time: Duration, client: Option<&mut Client>) -> Result<(), Unheard> {
        let end = Instant::now() + time;
        match (self.wished.recv_timeout(end.saturating_duration_since(Instant::now())), client) {
            (Err(RecvTimeoutError::Timeout), _) => Ok(()),
            (Err(RecvTimeoutError::Disconnected), _) => Err(Unheard),
            (Ok(wish), Some(client)) => self.tell(fulfil(client, &wish)),
            (Ok(wish), None) => self.tell(Said::NotDone(format!("not connected: {} was not done", wish.verb.name()))),
        }
    }

    fn tell(&self, said: Said) -> Result<(), Unheard> {
        self.told.send(said).map_err(|_| Unheard)
    }
}

/// How long siplane is left alone after a look that took so long, at least.
fn rest_after(look: Duration) -> Duration {
    (look * REST_PER_LOOK).min(REST_MAX)
}

fn fulfil(client: &mut Client, wish: &Wish) -> Said {
    let (verb, (set, duid)) = (wish.verb, &wish.key);
    match client.call(verb.method(), json!([set, duid])) {
        Ok(answer) => {
            let admin = answer["admin"].as_str().unwrap_or("done");
            let calls = answer["calls"].as_u64().filter(|calls| *calls > 0);
            let calls = calls.map(|calls| format!("; {calls} calls go on")).unwrap_or_default();
            Said::Done(format!("{} is {admin}{calls}", wish.whom))
        }
        Err(Failure::Fault { message, .. }) => Said::NotDone(format!("{} was not done: {message}", verb.name())),
        Err(other) => Said::NotDone(format!("whether {} was done is not known: {}", verb.name(), other.text())),
    }
}

/// Two looks an interval apart, so that there are rates, and the events.
pub(super) fn two_looks(path: &Path, interval: Duration) -> Outcome<Vec<Said>> {
    let client = &mut Client::connect(path)?;
    let first = overview(client)?;
    std::thread::sleep(interval);
    let (second, events) = (overview(client)?, events(client)?);
    let overviews = [first, second].map(|it| Said::Overview(Box::new(it)));
    Ok(overviews.into_iter().chain([events.map_or(Said::NoEvents, Said::Events)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_look_takes_the_longer_siplane_is_left_alone() {
        let ms = Duration::from_millis;
        assert_eq!([0, 2, 90, 5_000].map(|look| rest_after(ms(look))), [0, 8, 360, 1_000].map(ms));
    }
}
