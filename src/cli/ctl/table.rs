//! Tables for people: columns as wide as what is in them, numbers to the right.

/// Colours, for terminals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Paint {
    /// As it should be.
    Green,
    /// To look at.
    Yellow,
    /// Out.
    Red,
    /// As an operator said.
    Cyan,
    /// Headings.
    Bold,
}

impl Paint {
    /// `text` in this colour.
    pub(super) fn on(self, text: &str) -> String {
        let code = match self {
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Red => 31,
            Self::Cyan => 36,
            Self::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    /// A plain cell. What a terminal would obey is blanked: texts come from configs and from the network.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Self { text: text.as_ref().chars().map(printable).collect(), paint: None }
    }

    /// The same in a colour.
    pub(super) fn painted(self, paint: Option<Paint>) -> Self {
        Self { paint, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty one with these headings.
    pub(super) fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Self {
        Self { heads: heads.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row, a cell for each heading.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The text, each line behind `indent`.
    pub(super) fn text(&self, indent: &str, colour: bool) -> String {
        let columns: Vec<Column> = (0..self.heads.len()).map(|index| self.column(index)).collect();
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::new(head).painted(Some(Paint::Bold))).collect();
        let lines = [&heads].into_iter().chain(&self.rows);
        lines.map(|cells| line(indent, cells, &columns, colour)).collect()
    }

    fn column(&self, index: usize) -> Column {
        let cells = || self.rows.iter().filter_map(|row| row.get(index));
        let width = cells().map(Cell::width).chain([self.heads[index].chars().count()]).max().unwrap_or(0);
        let is_empty = |cell: &Cell| cell.text.is_empty() || cell.text == "-";
        let is_number = |cell: &Cell| is_empty(cell) || cell.text.parse::<f64>().is_ok();
        Column { width, right: cells().all(is_number) && !cells().all(is_empty) }
    }
}

#[derive(Clone, Copy)]
struct Column {
    width: usize,
    right: bool,
}

fn line(indent: &str, cells: &[Cell], columns: &[Column], colour: bool) -> String {
    let mut line = String::from(indent);
    // Spaces wait until something comes behind them.
    let mut spaces = 0;
    for (index, (cell, column)) in cells.iter().zip(columns).enumerate() {
        let free = column.width.saturating_sub(cell.width());
        let (before, after) = if column.right { (free, 0) } else { (0, free) };
        spaces += before + if index == 0 { 0 } else { 2 };
        if !cell.text.is_empty() {
            line.extend(core::iter::repeat_n(' ', spaces));
            spaces = 0;
            match cell.paint.filter(|_| colour) {
                Some(paint) => line += &paint.on(&cell.text),
                None => line += &cell.text,
            }
        } else {
            spaces += cell.width();
        }
        spaces += after;
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["STATE", "URI", "CALLS", "WHY"]);
        table.row(vec![
            Cell::new("active").painted(Some(Paint::Green)),
            Cell::new("sip:a"),
            Cell::new("7"),
            Cell::new(""),
        ]);
        table.row(vec![Cell::new("down"), Cell::new("sip:bbb"), Cell::new("1200"), Cell::new("probe: no answer")]);
        table.row(vec![Cell::new("down"), Cell::new("sip:ü"), Cell::new("-"), Cell::new("x\x1b[2J")]);
        table
    }

    #[test]
    fn columns_are_aligned_numbers_to_the_right_and_no_line_ends_with_spaces() {
        let text = table().text("  ", false);
        let expected = "  STATE   URI      CALLS  WHY\n  active  sip:a        7\n  down    sip:bbb   1200  probe: no answer\n  \
                        down    sip:ü        -  x [2J\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn colour_changes_no_width() {
        let text = table().text("", true);
        assert!(text.contains("\x1b[32mactive\x1b[0m  sip:a  "), "{text}");
        let plain = text.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", "");
        assert_eq!(plain, table().text("", false));
    }
}
