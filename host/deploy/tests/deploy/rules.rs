//! What each operation does and refuses.

use deploy::{DeployError, Deployments, Quota, Rollout::Full, Routes};

use crate::support::{QUOTA, canary, hello, live, name, number, route, version};

fn nothing() -> Deployments {
    Deployments::new(QUOTA)
}

#[test]
fn the_first_version_is_stable_and_a_new_function_has_no_canary() {
    assert_eq!(live(&hello(&nothing(), Full).unwrap()), [1, 0, 0]);
    let refused = hello(&nothing(), canary(10)).unwrap_err();
    assert_eq!(refused, DeployError::NothingStable(name("hello")));
}

#[test]
fn a_promoted_canary_is_stable_and_the_stable_version_before_it_is_what_to_go_back_to() {
    let one = hello(&nothing(), Full).unwrap();
    let two = hello(&one, canary(10)).unwrap();
    assert_eq!(live(&two), [1, 2, 0]);
    let promoted = two.promote(&name("hello")).unwrap();
    assert_eq!(live(&promoted), [2, 0, 1]);
    assert_eq!(
        promoted.promote(&name("hello")),
        Err(DeployError::NoCanary(name("hello")))
    );
}

#[test]
fn a_deployment_while_a_canary_runs_takes_its_place() {
    let tried = hello(&hello(&nothing(), Full).unwrap(), canary(10)).unwrap();
    assert_eq!(live(&hello(&tried, canary(20)).unwrap()), [1, 3, 0]);
    assert_eq!(live(&hello(&tried, Full).unwrap()), [3, 0, 1]);
}

#[test]
fn a_rollback_drops_the_canary_or_else_goes_back_one_version_once() {
    let two = hello(&hello(&nothing(), Full).unwrap(), Full).unwrap();
    let tried = hello(&two, canary(10)).unwrap();
    assert_eq!(live(&tried), [2, 3, 1]);
    let once = tried.rollback(&name("hello")).unwrap();
    assert_eq!(live(&once), [2, 0, 1]);
    let twice = once.rollback(&name("hello")).unwrap();
    assert_eq!(live(&twice), [1, 0, 0]);
    assert_eq!(
        twice.rollback(&name("hello")),
        Err(DeployError::NothingBefore(name("hello")))
    );
}

#[test]
fn the_newest_versions_and_all_live_ones_are_kept() {
    let mut now = nothing();
    for _ in 0..4 {
        now = hello(&now, Full).unwrap();
    }
    for _ in 0..3 {
        now = hello(&now, canary(10)).unwrap();
    }
    let kept = |now: &Deployments| -> Vec<u32> {
        let hello = now.function(&name("hello")).unwrap();
        hello.versions().keys().map(|number| number.get()).collect()
    };
    assert_eq!((live(&now), kept(&now)), ([4, 7, 3], vec![3, 4, 6, 7]));
    now = now.promote(&name("hello")).unwrap();
    assert_eq!((live(&now), kept(&now)), ([7, 0, 4], vec![4, 6, 7]));
}

#[test]
fn a_name_that_comes_back_goes_on_with_its_numbers() {
    let two = hello(&hello(&nothing(), Full).unwrap(), Full).unwrap();
    let removed = two.remove(&name("hello")).unwrap();
    assert_eq!(removed.functions().len(), 0);
    assert_eq!(live(&hello(&removed, Full).unwrap()), [3, 0, 0]);
}

#[test]
fn two_functions_share_no_route_and_the_refusal_names_the_other_one() {
    let now = hello(&nothing(), Full).unwrap();
    let refused = now
        .deploy(&name("other"), &route("/hello"), version(b""), Full)
        .unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("/hello is taken by function `hello`"),
        "{message}"
    );
    // The route of a function that is gone is free.
    let gone = now.remove(&name("hello")).unwrap();
    assert!(
        gone.deploy(&name("other"), &route("/hello"), version(b""), Full)
            .is_ok()
    );
}

#[test]
fn of_routes_that_overlap_the_exact_and_then_the_longest_one_wins() {
    let mut now = nothing();
    for (function, path) in [("root", "/*"), ("shop", "/shop/*"), ("cart", "/shop/cart")] {
        now = now
            .deploy(&name(function), &route(path), version(b""), Full)
            .unwrap();
    }
    let routes = Routes::new(&now);
    let found = |path: &str| routes.find(path).map(|function| function.name().as_str());
    for (path, function) in [
        ("/shop/cart", Some("cart")),
        ("/shop/cart/", Some("shop")),
        ("/shop/cart/1", Some("shop")),
        ("/shop", Some("root")),
        ("/shop/", Some("root")),
        ("/é", Some("root")),
        ("/", None),
        ("", None),
        ("shop/cart", None),
    ] {
        assert_eq!(found(path), function, "{path}");
    }
    assert_eq!(found(&"/".repeat(10_000)), Some("root"));
    assert_eq!(found(&format!("/shop/{}", "é".repeat(1000))), Some("shop"));
}

#[test]
fn a_full_deployment_moves_a_function_and_a_canary_does_not() {
    let now = hello(&nothing(), Full).unwrap();
    let refused = now.deploy(&name("hello"), &route("/hi"), version(b""), canary(1));
    assert!(matches!(refused, Err(DeployError::CanaryMoves { .. })));
    let moved = now
        .deploy(&name("hello"), &route("/hi"), version(b""), Full)
        .unwrap();
    let routes = Routes::new(&moved);
    assert!(routes.find("/hi").is_some() && routes.find("/hello").is_none());
    let back = moved.rollback(&name("hello")).unwrap();
    assert_eq!(
        back.function(&name("hello")).unwrap().route(),
        &route("/hi")
    );
}

#[test]
fn an_unknown_function_is_refused_with_the_names_of_those_that_there_are() {
    let message = |now: &Deployments| now.remove(&name("hallo")).unwrap_err().to_string();
    assert_eq!(
        message(&nothing()),
        "there is no function `hallo`; none is deployed"
    );
    assert_eq!(
        message(&hello(&nothing(), Full).unwrap()),
        "there is no function `hallo`; deployed are `hello`"
    );
}

#[test]
fn one_function_too_many_is_refused_and_new_versions_of_the_others_are_not() {
    let quota = Quota {
        max_functions: 1,
        ..QUOTA
    };
    let now = hello(&Deployments::new(quota), Full).unwrap();
    let refused = now.deploy(&name("other"), &route("/other"), version(b""), Full);
    assert!(matches!(
        refused,
        Err(DeployError::TooManyFunctions { max: 1, .. })
    ));
    assert!(hello(&now, Full).is_ok());
}

#[test]
fn a_request_gets_a_version_by_its_number() {
    let now = hello(&hello(&nothing(), Full).unwrap(), canary(50)).unwrap();
    let function = now.function(&name("hello")).unwrap();
    let chosen = [0, 1].map(|ticket| function.choose(ticket).0);
    assert_eq!(chosen, [number(1), number(2)]);
}
