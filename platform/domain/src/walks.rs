//! Who walks how far: the shortest ways from a home to every locker, and from gate to gate.

use std::collections::HashMap;

use petgraph::{algo::dijkstra, graph::NodeIndex, graph::UnGraph};

use crate::{
    id::{BuildingId, GateId},
    topology::Topology,
};

/// The walkways of one topology as a graph, made once and asked often.
#[derive(Debug)]
pub struct Walks {
    graph: UnGraph<(), Way>,
    buildings: HashMap<BuildingId, NodeIndex>,
    gates: HashMap<GateId, NodeIndex>,
    /// In the order of the topology.
    lockers: Vec<NodeIndex>,
    /// The places of the lockers in the order of their ids.
    by_id: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    metres: f64,
    steps: bool,
}

/// The walk from a home to one locker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// Which, by its place in the topology.
    pub locker: usize,
    /// How far.
    pub reach: Reach,
}

/// How far it is to a locker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reach {
    /// Metres along the shortest way.
    Metres(f64),
    /// Only ways with steps lead there.
    Steps,
    /// No way leads there.
    Unreachable,
}

impl Reach {
    /// Metres, if there is a way to go.
    pub fn metres(self) -> Option<f64> {
        match self {
            Reach::Metres(metres) => Some(metres),
            Reach::Steps | Reach::Unreachable => None,
        }
    }
}

impl Walks {
    /// The graph of a topology whose walkways join places that exist; others are left out.
    pub fn new(topology: &Topology) -> Self {
        let mut graph = UnGraph::default();
        let nodes: HashMap<&str, NodeIndex> = topology.places().map(|place| (place, graph.add_node(()))).collect();
        for walkway in &topology.walkways {
            if let (Some(&from), Some(&to)) = (nodes.get(walkway.from.as_str()), nodes.get(walkway.to.as_str())) {
                graph.add_edge(from, to, Way { metres: walkway.metres, steps: walkway.steps });
            }
        }
        let buildings =
            topology.buildings.iter().map(|building| (building.id.clone(), nodes[building.id.as_str()])).collect();
        let gates = topology.gates.iter().map(|gate| (gate.id.clone(), nodes[gate.id.as_str()])).collect();
        let lockers = topology.lockers.iter().map(|locker| nodes[locker.id.as_str()]).collect();
        let mut by_id: Vec<usize> = (0..topology.lockers.len()).collect();
        by_id.sort_by_key(|nth| &topology.lockers[*nth].id);
        Self { graph, buildings, gates, lockers, by_id }
    }

    /// The walk to every locker (Dijkstra over walkways), the nearest first, equally far ones by id, and last those
    /// that nobody gets to. Without steps when `step_free`.
    pub fn nearest_first(&self, home: &BuildingId, step_free: bool) -> Vec<Walk> {
        let any = self.metres(home, false);
        let chosen = if step_free { &self.metres(home, true) } else { &any };
        let reach = |locker: usize| match (chosen[locker], any[locker]) {
            (Some(metres), _) => Reach::Metres(metres),
            (None, Some(_)) => Reach::Steps,
            (None, None) => Reach::Unreachable,
        };
        let mut walks: Vec<Walk> = self.by_id.iter().map(|&locker| Walk { locker, reach: reach(locker) }).collect();
        // Stable: what is equally far stays in the order of the ids.
        walks.sort_by(|a, b| {
            let far = |walk: &Walk| walk.reach.metres().unwrap_or(f64::INFINITY);
            far(a).total_cmp(&far(b))
        });
        walks
    }

    /// Metres along the shortest way between two gates; none where no way joins them.
    pub fn between_gates(&self, from: &GateId, to: &GateId) -> Option<f64> {
        let (from, to) = (*self.gates.get(from)?, *self.gates.get(to)?);
        dijkstra(&self.graph, from, Some(to), |edge| edge.weight().metres).get(&to).copied()
    }

    /// Metres to each locker in the order of the topology.
    fn metres(&self, home: &BuildingId, step_free: bool) -> Vec<Option<f64>> {
        let Some(&start) = self.buildings.get(home) else {
            return vec![None; self.lockers.len()];
        };
        let cost = |way: &Way| if way.steps && step_free { f64::INFINITY } else { way.metres };
        let metres = dijkstra(&self.graph, start, None, |edge| cost(edge.weight()));
        self.lockers.iter().map(|locker| metres.get(locker).copied().filter(|metres| metres.is_finite())).collect()
    }
}
