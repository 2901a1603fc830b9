//! The files of the page. They are part of the component: no build step makes them, and none is read at run time.

use crate::etag::fingerprint;

/// A file.
pub(crate) struct Asset {
    /// Where it is served.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static [u8],
    fingerprint: u64,
}

impl Asset {
    const fn new(path: &'static str, content_type: &'static str, body: &'static [u8]) -> Asset {
        Asset {
            path,
            content_type,
            body,
            fingerprint: fingerprint(body),
        }
    }

    /// Its entity tag, quotes included.
    pub(crate) fn etag(&self) -> String {
        format!("\"{:016x}\"", self.fingerprint)
    }
}

/// The file at this path.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.path == path)
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! below_console {
    ($content_type:expr, $name:literal) => {
        Asset::new(
            concat!("/console/", $name),
            $content_type,
            include_bytes!(concat!("../page/", $name)),
        )
    };
}

static ALL: &[Asset] = &[
    Asset::new("/", HTML, include_bytes!("../page/index.html")),
    below_console!(SVG, "icon.svg"),
    below_console!(CSS, "base.css"),
    below_console!(CSS, "chat.css"),
    below_console!(CSS, "operator.css"),
    below_console!(SCRIPT, "answer.js"),
    below_console!(SCRIPT, "api.js"),
    below_console!(SCRIPT, "blocks.js"),
    below_console!(SCRIPT, "chat.js"),
    below_console!(SCRIPT, "conversation.js"),
    below_console!(SCRIPT, "dom.js"),
    below_console!(SCRIPT, "exchange_view.js"),
    below_console!(SCRIPT, "failure.js"),
    below_console!(SCRIPT, "format.js"),
    below_console!(SCRIPT, "histogram.js"),
    below_console!(SCRIPT, "history.js"),
    below_console!(SCRIPT, "inventory.js"),
    below_console!(SCRIPT, "main.js"),
    below_console!(SCRIPT, "openmetrics.js"),
    below_console!(SCRIPT, "operator.js"),
    below_console!(SCRIPT, "poll.js"),
    below_console!(SCRIPT, "readings.js"),
    below_console!(SCRIPT, "request.js"),
    below_console!(SCRIPT, "settings.js"),
    below_console!(SCRIPT, "sparkline.js"),
    below_console!(SCRIPT, "sse.js"),
    below_console!(SCRIPT, "table.js"),
    below_console!(SCRIPT, "text_view.js"),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_nothing_else() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let files = fs::read_dir(folder).unwrap();
        let files: BTreeSet<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .map(|name| match name.as_str() {
                "index.html" => "/".to_owned(),
                name => format!("/console/{name}"),
            })
            .collect();
        let served: BTreeSet<String> = ALL.iter().map(|asset| asset.path.to_owned()).collect();
        assert_eq!(served, files);
        assert_eq!(served.len(), ALL.len(), "no path is served twice");
    }

    #[test]
    fn the_page_has_no_script_and_no_style_of_the_kind_that_its_policy_forbids() {
        let page = std::str::from_utf8(find("/").unwrap().body).unwrap();
        for forbidden in ["<style", " style=", "<script>", " onclick=", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn what_the_page_refers_to_is_there() {
        for asset in ALL.iter().filter(|asset| asset.content_type != SVG) {
            let text = std::str::from_utf8(asset.body).unwrap();
            let quoted = text.split('"').filter_map(|part| {
                let name = part
                    .strip_prefix("./")
                    .filter(|_| asset.content_type == SCRIPT);
                name.map(|name| format!("/console/{name}"))
                    .or_else(|| part.starts_with("/console/").then(|| part.to_owned()))
            });
            for path in quoted {
                assert!(find(&path).is_some(), "{} refers to {path}", asset.path);
            }
        }
    }
}
