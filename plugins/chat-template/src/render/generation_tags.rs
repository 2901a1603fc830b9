//! `{% generation %}…{% endgeneration %}`: Transformers' own block, which marks what a model is trained on and renders
//! what is inside it. Like a macro's body, that is a scope of its own; `{% with %}` is the standard block with that effect.
//!
//! Raw text is passed over, but for one thing: Jinja keeps the newline after `{% raw %}` where it drops that after any
//! other block, and minijinja drops it here too.

/// The template with standard Jinja blocks in place of generation blocks, whitespace control kept.
pub(crate) fn replace(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut raw = false;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let inside = &tag[2..];
        let end = inside.find("%}").unwrap_or(0);
        let statement = &inside[..end];
        let word = statement.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let standard = match word {
            "generation" if !raw => "with",
            "endgeneration" if !raw => "endwith",
            _ => word,
        };
        match word {
            "raw" => raw = true,
            "endraw" => raw = false,
            _ => {}
        }
        out.push_str("{%");
        if standard == word {
            rest = inside;
        } else {
            out.push_str(&statement.replace(word, standard));
            rest = &inside[end..];
        }
        if word == "raw" && inside[end..].starts_with("%}\n") && !statement.ends_with(['-', '+']) {
            out.push_str(&inside[..end]);
            out.push_str("%}\n");
            rest = &inside[end + 2..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn generation_tags_become_standard_ones_with_the_same_whitespace_control() {
        assert_eq!(
            replace("a{% generation %}b{%- endgeneration +%}c{%-generation-%}"),
            "a{% with %}b{%- endwith +%}c{%-with-%}"
        );
    }

    #[test]
    fn other_tags_and_raw_text_stay_as_they_are() {
        for template in [
            "",
            "{%",
            "{% generation",
            "{% if generation %}{{ generation }}%}{% endif %}",
            "{% raw %}{% generation %}{%- endraw %}",
            "{% set x = 'generation' %}{%%}",
        ] {
            assert_eq!(replace(template), template);
        }
    }
}
