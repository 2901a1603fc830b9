//! Which function a request is for.

use std::{collections::HashMap, sync::Arc};

use crate::{deployments::Deployments, function::Function, route::Route};

/// The routes of all functions at one moment, made for finding one fast. Make it anew after each commit.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: HashMap<Box<str>, Arc<Function>>,
    /// By what their paths begin with, the last `/` included.
    below: HashMap<Box<str>, Arc<Function>>,
}

impl Routes {
    /// The routes of these functions.
    pub fn new(deployments: &Deployments) -> Routes {
        let mut routes = Routes::default();
        for function in deployments.functions() {
            let function = Arc::clone(function);
            let route = function.route().clone();
            match route.prefix() {
                Some(prefix) => routes.below.insert(prefix.into(), function),
                None => routes.exact.insert(route.as_str().into(), function),
            };
        }
        routes
    }

    /// All functions, in no order.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.exact.values().chain(self.below.values())
    }

    /// The function that answers this path, query and fragment cut off: the one whose route it is, or else the one with
    /// the longest route that ends in `*` and has it.
    pub fn find(&self, path: &str) -> Option<&Arc<Function>> {
        self.exact.get(path).or_else(|| {
            // A longer prefix is no route's, so a path of nothing but slashes costs no more than others.
            let end = path.floor_char_boundary(Route::MAX_LEN.min(path.len().checked_sub(1)?));
            path[..end]
                .rmatch_indices('/')
                .find_map(|(slash, _)| self.below.get(&path[..=slash]))
        })
    }
}
