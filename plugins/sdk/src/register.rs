/// Makes a type the plugin: `register!(router: T)`, `register!(shaper: T)`, `register!(chat_template: T)` or
/// `register!(function: T)`.
///
/// Once per crate, where `T` implements the role's trait ([`Router`](crate::Router), [`Shaper`](crate::Shaper),
/// [`ChatTemplate`](crate::ChatTemplate), [`Function`](crate::Function)). On a native target it checks
/// just that: the exported symbols have names that only a component can carry.
#[macro_export]
macro_rules! register {
    (router: $plugin:ty) => {
        $crate::register!(@export router, $crate::Router, $plugin);
    };
    (shaper: $plugin:ty) => {
        $crate::register!(@export shaper, $crate::Shaper, $plugin);
    };
    (chat_template: $plugin:ty) => {
        $crate::register!(@export chat_template, $crate::ChatTemplate, $plugin);
    };
    (function: $plugin:ty) => {
        $crate::register!(@export function, $crate::Function, $plugin);
    };
    (@export $role:ident, $role_trait:path, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            type Exported = $crate::$role::Exported<$plugin>;
            $crate::bindings::$role::export!(Exported with_types_in $crate::bindings::$role);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn has_role<T: $role_trait>() {}
            has_role::<$plugin>()
        };
    };
}
