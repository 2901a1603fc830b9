//! The plugins that serve now, replaced as a whole while requests run.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::plugin::{Plugin, PluginInfo};
use crate::router::Router;
use crate::shaper::Shaper;
use crate::template::Template;

/// The plugins that one request passes.
#[derive(Clone)]
pub struct PluginSet {
    /// Speaks the client's protocol.
    pub router: Router,
    /// Change or refuse requests, in this order.
    pub shapers: Vec<Shaper>,
    /// Writes prompts and reads answers.
    pub template: Template,
}

impl PluginSet {
    /// What is known of each of them, in the order of the path of a request.
    pub fn infos(&self) -> impl Iterator<Item = &PluginInfo> {
        let shapers = self.shapers.iter().map(Shaper::info);
        [self.router.info()]
            .into_iter()
            .chain(shapers)
            .chain([self.template.info()])
    }

    /// The same set with one plugin replaced: the router, the template, or the shaper of the same name; a shaper of a new
    /// name comes last.
    pub fn with(&self, plugin: Plugin) -> PluginSet {
        let mut set = self.clone();
        match plugin {
            Plugin::Router(router) => set.router = router,
            Plugin::Template(template) => set.template = template,
            // Not in the path of these requests.
            Plugin::Function(_) => {}
            Plugin::Shaper(shaper) => {
                match set
                    .shapers
                    .iter_mut()
                    .find(|old| old.info().name == shaper.info().name)
                {
                    Some(old) => *old = shaper,
                    None => set.shapers.push(shaper),
                }
            }
        }
        set
    }
}

/// The plugins that serve now, and how often they have been replaced.
pub struct Current {
    /// 1 for the first set, one more for each that replaced it.
    pub generation: u64,
    /// The plugins.
    pub plugins: PluginSet,
}

/// Holds the plugins that serve now. A request takes them once and keeps them to its end, whatever is swapped in
/// meanwhile; a plugin that failed to load never gets here.
pub struct Registry(ArcSwap<Current>);

impl Registry {
    /// Generation 1.
    pub fn new(plugins: PluginSet) -> Registry {
        Registry(ArcSwap::from_pointee(Current {
            generation: 1,
            plugins,
        }))
    }

    /// The plugins for a request that begins now.
    pub fn current(&self) -> Arc<Current> {
        self.0.load_full()
    }

    /// Replaces all plugins; returns the new generation.
    pub fn swap(&self, plugins: PluginSet) -> u64 {
        self.update(|_| plugins.clone())
    }

    /// Replaces the plugins by what `change` makes of them; returns the new generation. `change` may run more than once,
    /// when another thread was faster.
    pub fn update(&self, change: impl Fn(&PluginSet) -> PluginSet) -> u64 {
        let next = |old: &Arc<Current>| Current {
            generation: old.generation + 1,
            plugins: change(&old.plugins),
        };
        self.0.rcu(next).generation + 1
    }
}
