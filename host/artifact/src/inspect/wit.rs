//! The WIT of a component, for people to read.

use wit_component::{DecodedWasm, OutputToString, WitPrinter};

use super::{InspectError, names};

/// The world that a component is built for, with all that it imports and exports, as WIT text.
pub fn wit_text(wasm: &[u8]) -> Result<String, InspectError> {
    // Says in our own words what is no component.
    names(wasm)?;
    let decoded = wit_component::decode(wasm).map_err(no_wit)?;
    let main = decoded.package();
    let resolve = match &decoded {
        DecodedWasm::WitPackage(resolve, _) | DecodedWasm::Component(resolve, _) => resolve,
    };
    let others: Vec<_> = resolve
        .packages
        .iter()
        .map(|(id, _)| id)
        .filter(|id| *id != main)
        .collect();
    let mut printer = WitPrinter::new(OutputToString::default());
    printer.print(resolve, main, &others).map_err(no_wit)?;
    Ok(printer.output.to_string())
}

fn no_wit(error: impl std::fmt::Display) -> InspectError {
    InspectError::NoWit(format!("{error:#}"))
}
