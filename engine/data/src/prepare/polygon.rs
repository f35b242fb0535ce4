//! Masks as polygons, and back.
//!
//! Corners are in pixels, the centre of the first pixel being (0, 0), so that its edges lie at -0.5 and 0.5. A pixel is inside where
//! its centre is, by the even-odd rule; a path may cross itself.

use crate::Mask;

/// A corner `[x, y]`.
pub type Corner = [f64; 2];

/// The outlines of a mask along the edges of its pixels, clockwise around what is set and anticlockwise around holes. Pixels that
/// touch at a corner belong together. [`fill`] of all of them, one after the other, is the mask.
pub fn outlines(mask: &Mask) -> Vec<Vec<Corner>> {
    let (rows, columns) = mask.dim();
    // By corner; pixel (i, j) has the corners (i, j) and (i + 1, j + 1).
    let set =
        |i: usize, j: usize| (1..=rows).contains(&i) && (1..=columns).contains(&j) && mask[(i - 1, j - 1)];
    // What lies right and left of an edge that leaves a corner: rightwards, down, leftwards, up.
    let is_edge = |(i, j): (usize, usize), direction: usize| {
        let (right, left) = match direction {
            0 => (set(i + 1, j + 1), set(i, j + 1)),
            1 => (set(i + 1, j), set(i + 1, j + 1)),
            2 => (set(i, j), set(i + 1, j)),
            _ => (set(i, j + 1), set(i, j)),
        };
        right && !left
    };
    let mut seen = Mask::from_elem((rows + 1, columns + 1), false);
    let mut found = Vec::new();
    for start in (0..=rows).flat_map(|i| (0..=columns).map(move |j| (i, j))) {
        // Every outline goes rightwards somewhere.
        if seen[start] || !is_edge(start, 0) {
            continue;
        }
        let (mut outline, mut at, mut direction) = (Vec::new(), start, 0);
        loop {
            if direction == 0 {
                seen[at] = true;
            }
            at = match direction {
                0 => (at.0, at.1 + 1),
                1 => (at.0 + 1, at.1),
                2 => (at.0, at.1 - 1),
                _ => (at.0 - 1, at.1),
            };
            // Leftwards first: that joins pixels that touch at this corner.
            let turns = [(direction + 3) % 4, direction, (direction + 1) % 4];
            let next = turns.into_iter().find(|&turn| is_edge(at, turn)).unwrap_or(direction);
            if next != direction {
                outline.push([at.1 as f64 - 0.5, at.0 as f64 - 0.5]);
            }
            direction = next;
            if at == start && direction == 0 {
                break;
            }
        }
        found.push(outline);
    }
    found
}

/// One path that is filled as all of `outlines` together are: they hang together by edges that are gone along twice.
pub fn joined(outlines: &[Vec<Corner>]) -> Vec<Corner> {
    let mut path = Vec::new();
    for outline in outlines {
        path.extend(outline);
        path.extend(outline.first());
        // Back to where the whole path began.
        path.extend(outlines[0].first());
    }
    path
}

/// The pixels of a grid of `(rows, columns)` whose centres lie in a closed path, by the even-odd rule.
pub fn fill(path: &[Corner], (rows, columns): (usize, usize)) -> Mask {
    let mut crossed = Mask::from_elem((rows, columns), false);
    let next = path.iter().cycle().skip(1);
    for (&a, &b) in path.iter().zip(next) {
        // Always downwards, so that an edge and its reverse meet the same pixels.
        let ([x0, y0], [x1, y1]) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let first = y0.ceil().max(0.0) as usize;
        let end = (y1.ceil().max(0.0) as usize).min(rows);
        for i in first..end {
            let x = x0 + (i as f64 - y0) / (y1 - y0) * (x1 - x0);
            let from = x.ceil().max(0.0) as usize;
            if from < columns {
                crossed[(i, from)] ^= true;
            }
        }
    }
    for mut row in crossed.rows_mut() {
        row.iter_mut().fold(false, |inside, pixel| {
            *pixel ^= inside;
            *pixel
        });
    }
    crossed
}

/// A closed outline with fewer corners, none of which lay farther than `tolerance` pixels from it (Douglas and Peucker 1973).
pub fn simplified(outline: &[Corner], tolerance: f64) -> Vec<Corner> {
    let apart = |a: Corner, b: Corner| (a[0] - b[0]).hypot(a[1] - b[1]);
    let Some(&first) = outline.first() else { return Vec::new() };
    let far = (0..outline.len())
        .max_by(|&i, &j| apart(outline[i], first).total_cmp(&apart(outline[j], first)))
        .unwrap_or(0);
    let mut closed = outline.to_vec();
    closed.push(first);
    let mut keep = vec![false; closed.len()];
    (keep[0], keep[far]) = (true, true);
    let mut open = vec![(0, far), (far, outline.len())];
    while let Some((from, to)) = open.pop() {
        let (a, b) = (closed[from], closed[to]);
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let squared = dx * dx + dy * dy;
        let distance = |p: Corner| {
            let along = if squared > 0.0 { ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / squared } else { 0.0 };
            let along = along.clamp(0.0, 1.0);
            apart(p, [a[0] + along * dx, a[1] + along * dy])
        };
        let between = (from + 1..to).max_by(|&i, &j| distance(closed[i]).total_cmp(&distance(closed[j])));
        if let Some(at) = between.filter(|&at| distance(closed[at]) > tolerance) {
            keep[at] = true;
            open.extend([(from, at), (at, to)]);
        }
    }
    outline.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(corner, _)| *corner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks() -> impl Strategy<Value = Mask> {
        (1usize..9, 1usize..9).prop_flat_map(|(rows, columns)| {
            proptest::collection::vec(any::<bool>(), rows * columns)
                .prop_map(move |set| Mask::from_shape_vec((rows, columns), set).unwrap())
        })
    }

    proptest! {
        #[test]
        fn outlines_filled_are_the_mask(mask in masks()) {
            prop_assert_eq!(fill(&joined(&outlines(&mask)), mask.dim()), mask);
        }

        #[test]
        fn a_pixel_is_filled_where_its_centre_lies_inside(
            path in proptest::collection::vec((-3f64..12.0, -3f64..12.0).prop_map(|(x, y)| [x, y]), 3..7),
        ) {
            let inside = |x: f64, y: f64| {
                let edges = path.iter().zip(path.iter().cycle().skip(1));
                edges.filter(|(a, b)| (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]).count() % 2 == 1
            };
            let expected = Mask::from_shape_fn((9, 10), |(i, j)| inside(j as f64, i as f64));
            prop_assert_eq!(fill(&path, (9, 10)), expected);
        }

        #[test]
        fn corners_left_out_lay_near_the_outline(mask in masks(), tolerance in 0.0f64..2.0) {
            for outline in outlines(&mask) {
                let simple = simplified(&outline, tolerance);
                prop_assert!(simple.len() >= 2 && simple.len() <= outline.len());
                for p in &outline {
                    let near = simple.iter().zip(simple.iter().cycle().skip(1)).any(|(a, b)| {
                        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                        let t = (((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
                        (p[0] - a[0] - t * dx).hypot(p[1] - a[1] - t * dy) <= tolerance + 1e-9
                    });
                    prop_assert!(near, "{p:?} {simple:?}");
                }
            }
        }
    }

    #[test]
    fn a_ring_has_an_outline_outside_and_one_around_its_hole() {
        let mask = Mask::from_shape_fn((5, 6), |(i, j)| {
            (1..4).contains(&i) && (1..4).contains(&j) && (i, j) != (2, 2)
        });
        let found = outlines(&mask);
        assert_eq!(found[0], [[3.5, 0.5], [3.5, 3.5], [0.5, 3.5], [0.5, 0.5]]);
        assert_eq!(found[1].len(), 4);
        assert_eq!(found.len(), 2);
        assert!(outlines(&Mask::from_elem((3, 3), false)).is_empty());
    }
}
