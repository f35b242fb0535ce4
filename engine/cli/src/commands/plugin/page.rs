//! A method's page of documentation, from its descriptor alone.

use super::{accepts, bounds, made_by};
use assay_core::plugin::{MethodInfo, PortInfo};

/// The page, in Markdown.
pub(super) fn page(info: &MethodInfo) -> String {
    let mut page = format!("# {}: {}\n\n{}\n", info.id, info.name, info.summary);
    let mut fact = |title: &str, text: &str| {
        if !text.is_empty() {
            page += &format!("\n**{title}.** {text}\n");
        }
    };
    fact("Role", info.role());
    fact("Paper", &info.paper);
    fact("Deviations", &info.deviations);
    fact("Version", &made_by(info));
    fact("Fitted", fitted(info));
    for (title, ports) in [("Inputs", &info.inputs), ("Outputs", &info.outputs)] {
        page += &table(title, ["port", "what it is", "description"], ports.iter().map(row_of_port));
    }
    if !info.params.is_empty() {
        let rows = info.params.iter().map(|p| {
            let unit = if p.unit.is_empty() { String::new() } else { format!(" {}", p.unit) };
            let values = format!("{}{}", p.kind.name(), bounds(p));
            [format!("`{}`", p.name), format!("`{}`{unit}", p.default), values, p.doc.clone()]
        });
        page += &table("Parameters", ["key", "default", "values", "description"], rows);
    }
    page
}

fn fitted(info: &MethodInfo) -> &'static str {
    match (info.fitted, info.one_fit) {
        (false, _) => "no: it needs no good scans",
        (true, false) => "on good scans",
        (true, true) => {
            "on good scans, once because it takes long: without those of the first fold unless its step is `raw` and the last"
        }
    }
}

fn row_of_port(port: &PortInfo) -> [String; 3] {
    [format!("`{}`", port.name), accepts(port), port.doc.clone()]
}

fn table<const N: usize>(
    title: &str,
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = format!("\n## {title}\n\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        // A cell is one line without the table's own sign.
        let cells = row.map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|"));
        table += &format!("| {} |\n", cells.join(" | "));
    }
    table
}
