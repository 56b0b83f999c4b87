//! Which cores are one physical core, and which memory is near to which.

use super::list;
use super::root::Root;

/// The machine's cores. What the kernel does not tell is taken to be simple: each core for itself, all on one piece of memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// Per core that has any: itself and its hyperthread siblings.
    siblings: Vec<(usize, Vec<usize>)>,
    /// Per NUMA node with cores: its number and they.
    nodes: Vec<(usize, Vec<usize>)>,
    isolated: Vec<usize>,
    online: Vec<usize>,
}

impl Topology {
    /// From `/sys/devices/system`.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        let cpu = "sys/devices/system/cpu";
        let siblings = |core: usize| {
            let siblings = list::parse(&root.text(&format!("{cpu}/cpu{core}/topology/thread_siblings_list"))?);
            (siblings.len() > 1).then_some((core, siblings))
        };
        let node = |number: usize| {
            let cores = list::parse(&root.text(&format!("sys/devices/system/node/node{number}/cpulist"))?);
            (!cores.is_empty()).then_some((number, cores))
        };
        let listed = |name| list::parse(&root.text(&format!("{cpu}/{name}")).unwrap_or_default());
        Self {
            siblings: root.numbers(cpu, "cpu").into_iter().filter_map(siblings).collect(),
            nodes: root.numbers("sys/devices/system/node", "node").into_iter().filter_map(node).collect(),
            isolated: listed("isolated"),
            online: listed("online"),
        }
    }

    /// Whether `a` and `b` are hyperthreads of one physical core, or the same.
    #[must_use]
    pub fn is_one_core(&self, a: usize, b: usize) -> bool {
        a == b || self.siblings.iter().any(|(core, siblings)| *core == a && siblings.contains(&b))
    }

    /// The first core of `cores` on each physical core, in their order.
    #[must_use]
    pub fn physical(&self, cores: &[usize]) -> Vec<usize> {
        let mut firsts = Vec::new();
        for core in cores {
            if !firsts.iter().any(|first| self.is_one_core(*first, *core)) {
                firsts.push(*core);
            }
        }
        firsts
    }

    /// Cores that the kernel command line keeps the scheduler off. No process has them unless it asks for them.
    #[must_use]
    pub fn isolated(&self) -> &[usize] {
        &self.isolated
    }

    /// All cores that are switched on; empty when the kernel does not tell.
    pub(super) fn online(&self) -> &[usize] {
        &self.online
    }

    /// The NUMA node of a core.
    pub(super) fn node(&self, core: usize) -> Option<usize> {
        self.nodes.iter().find(|(_, cores)| cores.contains(&core)).map(|(number, _)| *number)
    }

    /// The cores of a NUMA node.
    pub(super) fn cores_of(&self, node: usize) -> &[usize] {
        self.nodes.iter().find(|(number, _)| *number == node).map_or(&[], |(_, cores)| cores)
    }

    /// Whether memory can be far away.
    pub(super) fn has_nodes(&self) -> bool {
        self.nodes.len() > 1
    }
}
