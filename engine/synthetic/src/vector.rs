//! Three-vectors of f64, as much as the renderer needs.

/// A point or direction; millimetres where it is a point.
pub(crate) type Vector = [f64; 3];

pub(crate) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a + b * scale`
pub(crate) fn along(a: Vector, b: Vector, scale: f64) -> Vector {
    [a[0] + b[0] * scale, a[1] + b[1] * scale, a[2] + b[2] * scale]
}

pub(crate) fn minus(a: Vector, b: Vector) -> Vector {
    along(a, b, -1.0)
}

pub(crate) fn unit(a: Vector) -> Vector {
    let length = dot(a, a).sqrt();
    a.map(|x| x / length)
}

/// 0 below `from`, 1 above `to`, cubic between; `from > to` falls instead of rising.
pub(crate) fn ramp(from: f64, to: f64, x: f64) -> f64 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
