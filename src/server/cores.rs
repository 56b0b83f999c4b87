//! Which core is whose.

use super::ServerError;
use crate::config::ShardsPlan as CoresWish;
use crate::host::{Root, Topology};

/// Which core is whose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cores {
    pub(super) shards: Vec<usize>,
    pub(super) prober: usize,
}

impl Cores {
    pub(super) fn choose(wish: &CoresWish, prober: Option<usize>) -> Result<Self, ServerError> {
        let available: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        let topology = Topology::read(&Root::system());
        let cores = Self::among(available, &topology, wish, prober)?;
        let pairs = || cores.shards.iter().flat_map(|a| cores.shards.iter().map(move |b| (a, b)));
        if pairs().any(|(a, b)| a != b && topology.is_one_core(*a, *b)) {
            tracing::warn!(shards = ?cores.shards, "shards share physical cores: hyperthreads take from each other");
        }
        Ok(cores)
    }

    /// Without being told, no two shards get the same physical core: what one gains the other loses, and a dispatcher's hyperthreads
    /// wait for the same caches. The prober takes a hyperthread that is left over, where there is one.
    fn among(
        available: Vec<usize>,
        topology: &Topology,
        wish: &CoresWish,
        prober: Option<usize>,
    ) -> Result<Self, ServerError> {
        let named = match wish {
            CoresWish::Cores(cores) => cores.as_slice(),
            CoresWish::Auto | CoresWish::Count(_) => &[],
        };
        // The kernel gives isolated cores to nobody who does not ask for them: they may be named, and are never chosen.
        let is_there = |core: &usize| available.contains(core) || topology.isolated().contains(core);
        if let Some(wanted) = named.iter().copied().chain(prober).find(|core| !is_there(core)) {
            return Err(ServerError::Core { wanted, available });
        }
        let prober = prober.or(available.last().copied()).unwrap_or(0);
        let mut free: Vec<usize> = available.into_iter().filter(|core| *core != prober).collect();
        if free.is_empty() {
            free.push(prober);
        }
        let firsts = topology.physical(&free);
        let shards = match wish {
            CoresWish::Auto => firsts,
            // Second hyperthreads come after all physical cores, the prober's core after them, and then some core gets a second shard.
            CoresWish::Count(count) => {
                let seconds = free.iter().filter(|core| !firsts.contains(core));
                let last = (free != [prober]).then_some(prober);
                let order: Vec<usize> = firsts.iter().chain(seconds).copied().chain(last).collect();
                order.into_iter().cycle().take(*count).collect()
            }
            CoresWish::Cores(cores) => cores.clone(),
        };
        Ok(Self { shards, prober })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The topology of a made-up machine: which cores are siblings of each, by core, and which are isolated.
    fn machine(name: &str, siblings: &[&str], isolated: &str) -> Topology {
        let root = std::env::temp_dir().join(format!("siplane-cores-{}-{name}", std::process::id()));
        let cpu = root.join("sys/devices/system/cpu");
        for (core, siblings) in siblings.iter().enumerate() {
            let folder = cpu.join(format!("cpu{core}/topology"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("thread_siblings_list"), siblings).unwrap();
        }
        std::fs::create_dir_all(&cpu).unwrap();
        std::fs::write(cpu.join("isolated"), isolated).unwrap();
        let topology = Topology::read(&Root::at(&root));
        std::fs::remove_dir_all(&root).unwrap();
        topology
    }

    fn chosen_on(topology: &Topology, wish: CoresWish, prober: Option<usize>) -> (Vec<usize>, usize) {
        let cores = Cores::among(vec![0, 1, 2, 3], topology, &wish, prober).unwrap();
        (cores.shards, cores.prober)
    }

    fn chosen(wish: CoresWish, prober: Option<usize>) -> (Vec<usize>, usize) {
        chosen_on(&Topology::default(), wish, prober)
    }

    #[test]
    fn shards_leave_the_prober_its_core_while_there_are_enough() {
        assert_eq!(chosen(CoresWish::Auto, None), (vec![0, 1, 2], 3));
        assert_eq!(chosen(CoresWish::Auto, Some(0)), (vec![1, 2, 3], 0));
        assert_eq!(chosen(CoresWish::Count(2), None), (vec![0, 1], 3));
        assert_eq!(chosen(CoresWish::Count(6), None), (vec![0, 1, 2, 3, 0, 1], 3));
        assert_eq!(chosen(CoresWish::Cores(vec![3, 1]), None), (vec![3, 1], 3));
    }

    #[test]
    fn a_single_core_carries_everything() {
        let among = |wish| Cores::among(vec![5], &Topology::default(), &wish, None).unwrap();
        assert_eq!(among(CoresWish::Auto), Cores { shards: vec![5], prober: 5 });
        assert_eq!(among(CoresWish::Count(2)).shards, [5, 5]);
    }

    #[test]
    fn by_default_no_two_shards_share_a_physical_core() {
        let halves = machine("halves", &["0,2", "1,3", "0,2", "1,3"], "");
        assert_eq!(chosen_on(&halves, CoresWish::Auto, None), (vec![0, 1], 3));
        assert_eq!(chosen_on(&halves, CoresWish::Auto, Some(1)), (vec![0, 3], 1));
        let pairs = machine("pairs", &["0-1", "0-1", "2-3", "2-3"], "");
        assert_eq!(chosen_on(&pairs, CoresWish::Auto, None), (vec![0, 2], 3));
        assert_eq!(chosen_on(&pairs, CoresWish::Count(2), None), (vec![0, 2], 3));
    }

    #[test]
    fn more_shards_than_physical_cores_take_second_hyperthreads_then_the_probers_core() {
        let pairs = machine("more", &["0-1", "0-1", "2-3", "2-3"], "");
        assert_eq!(chosen_on(&pairs, CoresWish::Count(3), None), (vec![0, 2, 1], 3));
        assert_eq!(chosen_on(&pairs, CoresWish::Count(5), None), (vec![0, 2, 1, 3, 0], 3));
    }

    #[test]
    fn an_isolated_core_may_be_named_although_nobody_has_it_by_default() {
        let isolated = machine("isolated", &["0", "1"], "4-5");
        assert_eq!(chosen_on(&isolated, CoresWish::Cores(vec![4, 5]), None), (vec![4, 5], 3));
        assert_eq!(chosen_on(&isolated, CoresWish::Auto, Some(4)), (vec![0, 1, 2, 3], 4));
    }

    /// What the threads of this process that are called `name` may run on.
    fn allowed(name: &str) -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
        let named =
            tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
        let status = named.filter_map(|task| std::fs::read_to_string(task.join("status")).ok());
        let list = |text: String| {
            text.lines().find_map(|line| Some(line.strip_prefix("Cpus_allowed_list:")?.trim().to_owned()))
        };
        status.filter_map(list).collect()
    }

    #[test]
    fn each_shard_runs_on_its_own_core_alone() {
        let mut config = crate::config::parse(crate::config::BUILT_IN, "built-in config").unwrap();
        config.settings.listen[0].address.set_port(0);
        let all: Vec<usize> = core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
        // The other way round: where a shard runs is not where it would run anyway.
        config.shards = CoresWish::Cores(all.iter().rev().copied().collect());
        let server = crate::server::Server::start(config).unwrap();
        for (shard, core) in all.iter().rev().enumerate() {
            let allowed = allowed(&format!("shard-{shard}"));
            assert!(allowed.contains(&core.to_string()), "shard {shard}: {allowed:?}, not {core}");
        }
        server.shut_down(|| true);
    }

    #[test]
    fn a_core_that_is_not_there_is_named_with_those_that_are() {
        let wish = CoresWish::Cores(vec![0, 9]);
        let error = Cores::among(vec![0, 1], &Topology::default(), &wish, None).err().unwrap();
        assert_eq!(error.to_string(), "core 9 is not there; this process may use [0, 1]");
    }
}
