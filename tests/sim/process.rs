//! The shards' process: what waits in sockets and inboxes, whose turn it is, and what a turn does with what it finds.

use crate::clock::{ms, sooner};
use crate::network::{Arrival, Packet};
use crate::world::World;
use core::time::Duration;
use siplane::proxy::{Datagram, SocketId, owner_of};
use siplane::sip::find_call_id;
use siplane::time::Instant;
use std::collections::VecDeque;

/// What waits for one shard.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    socket: VecDeque<Arrival>,
    /// From other shards, which received it.
    inbox: VecDeque<Arrival>,
    /// When it looks at its inbox.
    turn_at: Option<Instant>,
    /// It stands still until then.
    pub(crate) stalled_until: Option<Instant>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.socket.is_empty() && self.inbox.is_empty()
    }

    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        self.stalled_until.is_some_and(|until| until > now)
    }

    /// The turn that is due, not before it moves again.
    pub(crate) fn next(&self, timer: Option<Instant>) -> Option<Instant> {
        let waiting = (!self.is_empty()).then(|| self.turn_at.unwrap_or(Instant::from_nanos(0)));
        sooner(waiting, timer).map(|at| self.stalled_until.map_or(at, |until| until.max(at)))
    }
}

impl World {
    /// Something reaches our host.
    pub(crate) fn come_in(&mut self, arrival: Arrival) {
        let shard = match &arrival {
            _ if self.proxies.is_empty() => return,
            Arrival::Datagram(packet) => self.receiver(packet),
            Arrival::Unreachable(packet) => match packet.shard {
                Some(shard) => shard,
                None => return,
            },
        };
        self.queues[shard].socket.push_back(arrival);
        if !self.queues[shard].is_stalled(self.now) {
            self.turn(shard);
        }
    }

    /// The shard in whose socket the kernel puts it.
    fn receiver(&self, packet: &Packet) -> usize {
        if self.setup.trouble.inbox_max.is_none() {
            return self.owner(packet);
        }
        let source = packet.from.to_string();
        source.bytes().fold(7_usize, |hash, byte| hash * 31 % 10_007 + usize::from(byte)) % self.setup.shards as usize
    }

    fn owner(&self, packet: &Packet) -> usize {
        find_call_id(&packet.bytes).map_or(0, |call_id| owner_of(call_id, self.setup.shards)) as usize
    }

    /// One turn: what the sockets brought, and what others handed in.
    pub(crate) fn turn(&mut self, shard: usize) {
        self.queues[shard].turn_at = None;
        while let Some(arrival) = self.queues[shard].socket.pop_front() {
            match &arrival {
                Arrival::Datagram(packet) if self.keeps_out(&packet.bytes) => self.met.shed += 1,
                Arrival::Datagram(packet) if self.owner(packet) != shard => {
                    let owner = self.owner(packet);
                    self.hand_off(owner, arrival);
                }
                _ => self.handle(shard, &arrival),
            }
        }
        while let Some(arrival) = self.queues[shard].inbox.pop_front() {
            self.handle(shard, &arrival);
        }
    }

    /// In overload new calls stay out: they come again when there may be room.
    fn keeps_out(&mut self, bytes: &[u8]) -> bool {
        self.is_shedding && bytes.starts_with(b"INVITE ") && self.dice.chance(self.setup.trouble.shed_percent)
    }

    /// A full inbox refuses: the message is lost, and counted.
    fn hand_off(&mut self, owner: usize, arrival: Arrival) {
        let queue = &mut self.queues[owner];
        if self.setup.trouble.inbox_max.is_some_and(|max| queue.inbox.len() >= max) {
            self.met.inbox_full += 1;
            return;
        }
        let at = self.now + ms(self.dice.below(4));
        queue.inbox.push_back(arrival);
        queue.turn_at = sooner(queue.turn_at, Some(at));
        self.met.handed_off += 1;
    }

    /// The proxy gets it.
    fn handle(&mut self, shard: usize, arrival: &Arrival) {
        self.checks.begin(self.now, &self.proxies[shard]);
        match arrival {
            Arrival::Datagram(packet) => {
                let socket = self.checks.listen.iter().position(|listen| listen.address == packet.to);
                let Some(socket) = socket else { self.fail(&format!("a packet to nobody: {}", packet.to)) };
                let socket = SocketId(socket as u8);
                self.trace.add(self.now, "in", packet.from, packet.to, &packet.bytes);
                self.checks.received(self.now, &self.policy.table, packet.from, socket, &packet.bytes);
                let Self { proxies, policy, out, now, .. } = self;
                let datagram = Datagram { source: packet.from, socket, bytes: &packet.bytes };
                proxies[shard].handle_datagram(*now, policy, datagram, out);
            }
            Arrival::Unreachable(packet) => {
                self.trace.add(self.now, "ICMP", packet.to, packet.from, &packet.bytes);
                self.checks.send_failed(&packet.bytes);
                let Self { proxies, policy, out, now, .. } = self;
                proxies[shard].handle_send_error(*now, policy, packet.to, &packet.bytes, out);
            }
        }
        self.after_proxy(shard);
        self.look();
        if self.dice.chance(self.setup.trouble.publish_percent) {
            let table = self.dice.below(self.setup.extras.tables.len().max(1) as u64) as usize;
            self.met.published += 1;
            self.publish(table);
        }
    }

    /// Due timers of all shards that do not stand still.
    pub(crate) fn shard_timers(&mut self) {
        for shard in 0..self.proxies.len() {
            let (queue, timer) = (&self.queues[shard], self.proxies[shard].poll_timeout());
            if queue.is_stalled(self.now) {
                continue;
            }
            if queue.next(None).is_some_and(|at| at <= self.now) {
                self.turn(shard);
            }
            if timer.is_some_and(|at| at <= self.now) {
                self.checks.begin(self.now, &self.proxies[shard]);
                self.checks.timer();
                let Self { proxies, policy, out, now, .. } = self;
                proxies[shard].handle_timeout(*now, policy, out);
                self.after_proxy(shard);
            }
        }
    }

    /// The shard stands still, or all of them do: its turns come late, and all that is due then comes at once.
    pub(crate) fn stall(&mut self, shard: Option<usize>, time: Duration) {
        self.met.stalls += 1;
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if shard.is_none_or(|shard| shard == index) {
                queue.stalled_until = queue.stalled_until.max(Some(self.now + time));
            }
        }
    }
}
