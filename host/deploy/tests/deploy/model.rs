//! Random sequences of operations, and what holds after each.

use std::collections::{BTreeMap, BTreeSet};

use deploy::{Deployments, Function, FunctionName, Rollout, Route, Routes, VersionNumber};
use proptest::prelude::*;

use crate::support::{QUOTA, canary, name, route, version};

#[derive(Clone, Debug)]
enum Operation {
    Deploy(FunctionName, Route, Rollout),
    Promote(FunctionName),
    Rollback(FunctionName),
    Remove(FunctionName),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let names = || prop::sample::select(["a", "b", "c", "d"].map(name).to_vec());
    let routes = ["/", "/*", "/x", "/x/*", "/x/y", "/x/y/*"].map(route);
    let how = prop_oneof![Just(Rollout::Full), (1..=99_u8).prop_map(canary)];
    let operation = prop_oneof![
        4 => (names(), prop::sample::select(routes.to_vec()), how)
            .prop_map(|(name, route, how)| Operation::Deploy(name, route, how)),
        1 => names().prop_map(Operation::Promote),
        1 => names().prop_map(Operation::Rollback),
        1 => names().prop_map(Operation::Remove),
    ];
    prop::collection::vec(operation, 1..60)
}

/// The function that should answer, by looking at all of them.
fn answers<'a>(now: &'a Deployments, path: &str) -> Option<&'a Function> {
    let matching = now
        .functions()
        .filter(|function| function.route().matches(path));
    let exact_then_longest = |function: &&std::sync::Arc<Function>| {
        let text = function.route().as_str();
        (text == path, text.len())
    };
    matching.max_by_key(exact_then_longest).map(AsRef::as_ref)
}

fn check_whole(now: &Deployments) -> Result<(), TestCaseError> {
    prop_assert!(now.functions().len() <= QUOTA.max_functions);
    let routes: BTreeSet<_> = now.functions().map(|function| function.route()).collect();
    prop_assert_eq!(routes.len(), now.functions().len(), "two have one route");
    for function in now.functions() {
        let live: Vec<_> = function.live().versions().collect();
        let kept: Vec<_> = function.versions().keys().copied().collect();
        prop_assert!(live.iter().all(|number| kept.contains(number)));
        let old = kept.len().saturating_sub(QUOTA.max_versions.get());
        prop_assert!(kept[..old].iter().all(|number| live.contains(number)));
    }
    let routes = Routes::new(now);
    for path in [
        "/", "/x", "/x/", "/x/y", "/x/y/z", "/x/z", "/z", "/x/y/z/z", "",
    ] {
        let found = routes.find(path).map(|function| function.name());
        prop_assert_eq!(found, answers(now, path).map(Function::name), "{}", path);
    }
    Ok(())
}

proptest! {
    #[test]
    fn after_any_operations_routes_are_clear_live_versions_are_there_and_no_number_came_twice(
        operations in operations()
    ) {
        let mut now = Deployments::new(QUOTA);
        let mut last = BTreeMap::<FunctionName, VersionNumber>::new();
        for operation in operations {
            let new = match &operation {
                Operation::Deploy(name, route, how) => now.deploy(name, route, version(b""), *how),
                Operation::Promote(name) => now.promote(name),
                Operation::Rollback(name) => now.rollback(name),
                Operation::Remove(name) => now.remove(name),
            };
            let Ok(new) = new else { continue };
            check_whole(&new)?;
            if let Operation::Deploy(name, _, how) = &operation {
                let deployed = new.function(name).unwrap();
                let number = *deployed.versions().keys().next_back().unwrap();
                let next = last.get(name).map_or(1, |last| last.get() + 1);
                prop_assert_eq!(number.get(), next);
                last.insert(name.clone(), number);
                let live = deployed.live();
                match (how, now.function(name)) {
                    (Rollout::Canary(percent), before) => {
                        let canary = live.canary.unwrap();
                        prop_assert_eq!((canary.version, canary.percent), (number, *percent));
                        prop_assert_eq!(live.stable, before.unwrap().live().stable);
                    }
                    (Rollout::Full, Ok(before)) => {
                        let back = new.rollback(name).unwrap();
                        let back = back.function(name).unwrap();
                        let stable = before.live().stable;
                        prop_assert_eq!(live.stable, number);
                        prop_assert_eq!(back.live().stable, stable);
                        prop_assert_eq!(&back.versions()[&stable], &before.versions()[&stable]);
                    }
                    (Rollout::Full, Err(_)) => prop_assert_eq!(live.stable, number),
                }
            }
            now = new;
        }
    }
}
