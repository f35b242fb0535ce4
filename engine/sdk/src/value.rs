//! The views a method gets of its inputs, and the sink for its outputs.

use crate::error::{Error, Result};
use assay_abi as abi;
use std::marker::PhantomData;

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Content {
    /// `[3,h,w]`, 0..255.
    Rgb = abi::RGB,
    /// `[1,h,w]`, 0..255.
    Gray = abi::GRAY,
    /// Organised points `[3,h,w]`, metres; x right, y down, z away from the camera.
    Xyz = abi::XYZ,
    /// `[1,h,w]`, metres.
    Depth = abi::DEPTH,
    /// An unorganised cloud, positions `[N,3]`, metres.
    Points = abi::POINTS,
    /// Features `[C,h,w]` or `[N,C]`.
    Features = abi::FEATURES,
    /// Scores `[1,h,w]` or `[N,1]`; higher = more anomalous.
    Scores = abi::SCORES,
}

impl Content {
    /// From the ABI's number.
    pub fn of(bits: u32) -> Option<Self> {
        [Self::Rgb, Self::Gray, Self::Xyz, Self::Depth, Self::Points, Self::Features, Self::Scores]
            .into_iter()
            .find(|c| *c as u32 == bits)
    }
}

/// How a value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Layout {
    /// Values `[C,h,w]`.
    Grid = abi::LAYOUT_GRID,
    /// Values `[N,C]` with positions.
    Cloud = abi::LAYOUT_CLOUD,
}

/// Where a grid lies in the scan's native pixels: the centre of column `j` is at
/// `offset_x + stride_x * (j + 1/2) - 1/2`, rows likewise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Native x of the left edge, pixels.
    pub offset_x: f64,
    /// Native y of the top edge, pixels.
    pub offset_y: f64,
    /// Native pixels a column.
    pub stride_x: f64,
    /// Native pixels a row.
    pub stride_y: f64,
}

impl Frame {
    /// The native grid itself.
    pub const NATIVE: Self = Self { offset_x: 0.0, offset_y: 0.0, stride_x: 1.0, stride_y: 1.0 };

    /// The frame of `rows` x `cols` cells over the area that `old_rows` x `old_cols` cells of this frame cover.
    pub fn resized(self, (old_rows, old_cols): (usize, usize), (rows, cols): (usize, usize)) -> Self {
        Self {
            stride_x: self.stride_x * old_cols as f64 / cols as f64,
            stride_y: self.stride_y * old_rows as f64 / rows as f64,
            ..self
        }
    }

    pub(crate) fn to_abi(self) -> abi::Frame {
        let Self { offset_x, offset_y, stride_x, stride_y } = self;
        abi::Frame { offset_x, offset_y, stride_x, stride_y }
    }

    pub(crate) fn from_abi(f: abi::Frame) -> Self {
        Self { offset_x: f.offset_x, offset_y: f.offset_y, stride_x: f.stride_x, stride_y: f.stride_y }
    }
}

/// The shape of an input before there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Index into the method's inputs.
    pub port: usize,
    /// What it means.
    pub content: Content,
    /// How it is laid out.
    pub layout: Layout,
    /// Channels of a grid or columns of a cloud.
    pub channels: usize,
    /// Rows of a grid; 0 for a cloud.
    pub rows: usize,
    /// Columns of a grid; 0 for a cloud.
    pub cols: usize,
    /// The scan's native `(rows, columns)`.
    pub native: (usize, usize),
    /// Where a grid lies.
    pub frame: Frame,
    /// Guaranteed range of the values, where there is one.
    pub range: Option<(f64, f64)>,
    /// `step.output` or the sensor's name, for messages.
    pub name: String,
}

/// The shape of an output, as `plan` promises it.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// How it is laid out.
    pub layout: Layout,
    /// Channels (1 for scores).
    pub channels: usize,
    /// Rows of a grid; ignored for a cloud.
    pub rows: usize,
    /// Columns of a grid; ignored for a cloud.
    pub cols: usize,
    /// Where a grid lies.
    pub frame: Frame,
    /// Guaranteed range of the values, where there is one.
    pub range: Option<(f64, f64)>,
}

impl OutputSpec {
    /// A grid of `channels` at the size and place of `like`.
    pub fn grid_like(like: &Spec, channels: usize) -> Self {
        Self {
            layout: Layout::Grid,
            channels,
            rows: like.rows,
            cols: like.cols,
            frame: like.frame,
            range: None,
        }
    }

    /// A cloud of `channels` columns; as many rows as points come at run time.
    pub fn cloud(channels: usize) -> Self {
        Self { layout: Layout::Cloud, channels, rows: 0, cols: 0, frame: Frame::NATIVE, range: None }
    }
}

/// A grid input, borrowed: `[channels, rows, cols]`.
#[derive(Debug, Clone, Copy)]
pub struct GridView<'a> {
    /// `channels * rows * cols` values, row-major, finite. Where not valid: 0, or what was seen up to two cells beyond the
    /// part, so that neighbourhoods at its edge are whole; not to be learned or scored.
    pub values: &'a [f32],
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// `rows * cols`, non-zero = valid; `None` = all valid.
    pub valid: Option<&'a [u8]>,
    /// Where it lies.
    pub frame: Frame,
}

impl<'a> GridView<'a> {
    /// The plane of channel `c`, `rows * cols` values.
    ///
    /// # Panics
    /// If `c >= channels`.
    pub fn plane(&self, c: usize) -> &'a [f32] {
        &self.values[c * self.rows * self.cols..][..self.rows * self.cols]
    }

    /// Whether cell `i` (row-major) is valid.
    pub fn is_valid(&self, i: usize) -> bool {
        self.valid.is_none_or(|v| v[i] != 0)
    }
}

/// A cloud input, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct CloudView<'a> {
    /// `points * channels` values, row-major; empty when the cloud is positions alone.
    pub values: &'a [f32],
    /// Columns of `values`.
    pub channels: usize,
    /// `[points, 3]`, metres.
    pub positions: &'a [f32],
    /// Points.
    pub points: usize,
    /// Non-zero = valid; `None` = all valid.
    pub valid: Option<&'a [u8]>,
}

impl<'a> CloudView<'a> {
    /// The position of point `i`, metres.
    ///
    /// # Panics
    /// If `i >= points`.
    pub fn position(&self, i: usize) -> [f32; 3] {
        std::array::from_fn(|c| self.positions[3 * i + c])
    }

    /// The values of point `i`, `channels` of them.
    ///
    /// # Panics
    /// If `i >= points`.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.channels..][..self.channels]
    }

    /// Whether point `i` is valid.
    pub fn is_valid(&self, i: usize) -> bool {
        self.valid.is_none_or(|v| v[i] != 0)
    }
}

/// One input of one scan.
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// A grid.
    Grid(GridView<'a>),
    /// A cloud.
    Cloud(CloudView<'a>),
}

/// One input with what it means.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// Index into the method's inputs.
    pub port: usize,
    /// What it means.
    pub content: Content,
    /// Its values.
    pub data: Data<'a>,
    /// Image score of a scores input; NaN otherwise.
    pub image_score: f64,
}

impl<'a> Value<'a> {
    /// The grid.
    ///
    /// # Errors
    /// An input error where it is a cloud.
    pub fn grid(&self) -> Result<GridView<'a>> {
        match self.data {
            Data::Grid(g) => Ok(g),
            Data::Cloud(_) => Err(Error::input("", "expected a grid, got a cloud")),
        }
    }

    /// The cloud.
    ///
    /// # Errors
    /// An input error where it is a grid.
    pub fn cloud(&self) -> Result<CloudView<'a>> {
        match self.data {
            Data::Cloud(c) => Ok(c),
            Data::Grid(_) => Err(Error::input("", "expected a cloud, got a grid")),
        }
    }
}

/// One scan as a method sees it.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The scan's id, for messages. In a fit a scan that is learned at several angles comes once for each, one after another, with the same id:
    /// who holds scans out holds out all of one.
    pub id: &'a str,
    /// Position in the running fit or batch.
    pub index: u64,
    /// Inputs, ordered by port, then as the recipe lists them; as many as were planned.
    pub inputs: Vec<Value<'a>>,
}

impl<'a> Sample<'a> {
    /// The inputs of one port.
    pub fn port(&self, port: usize) -> impl Iterator<Item = &Value<'a>> {
        self.inputs.iter().filter(move |v| v.port == port)
    }

    /// All inputs as grids.
    ///
    /// # Errors
    /// An input error where one is a cloud.
    pub fn grids(&self) -> Result<Vec<GridView<'a>>> {
        self.inputs.iter().map(Value::grid).collect()
    }

    /// All inputs as clouds.
    ///
    /// # Errors
    /// An input error where one is a grid.
    pub fn clouds(&self) -> Result<Vec<CloudView<'a>>> {
        self.inputs.iter().map(Value::cloud).collect()
    }
}

/// Where a method puts its results for one scan. Memory comes from the host and is zeroed.
pub struct Outputs<'a> {
    raw: &'a abi::Outputs,
    specs: &'a [OutputSpec],
    /// Memory that was given out.
    given: Vec<Given>,
    /// Outputs are written by one thread.
    not_sync: PhantomData<*mut ()>,
}

/// Memory of one part of an output.
struct Given {
    port: usize,
    part: u32,
    data: *const u8,
    len: usize,
}

#[allow(unsafe_code, reason = "the ABI: output memory is the host's")]
impl Given {
    /// The numbers of values or positions.
    fn floats(&self) -> &[f32] {
        // SAFETY: the host's memory of `len` numbers for the running call; whoever wrote to it has returned.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) }
    }

    /// The bytes of a mask.
    fn bytes(&self) -> &[u8] {
        // SAFETY: as above, of `len` bytes.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl<'a> Outputs<'a> {
    pub(crate) fn new(raw: &'a abi::Outputs, specs: &'a [OutputSpec]) -> Self {
        Self { raw, specs, given: Vec::new(), not_sync: PhantomData }
    }

    /// Looks at what was written: numbers that leave a plugin are finite where they are valid.
    ///
    /// # Errors
    /// An input error that names the output: with finite inputs, a method should say better what is wrong.
    pub(crate) fn check(&self) -> Result<()> {
        let part = |port: usize, part: u32| self.given.iter().find(|g| g.port == port && g.part == part);
        for (port, spec) in self.specs.iter().enumerate() {
            let Some(values) = part(port, abi::PART_VALUES).map(Given::floats) else { continue };
            let valid = part(port, abi::PART_VALID).map(Given::bytes);
            let grid = spec.layout == Layout::Grid;
            let cell = |i: usize| if grid { i % (spec.rows * spec.cols) } else { i / spec.channels };
            let counts = |i: usize| valid.is_none_or(|v| v.get(cell(i)).is_some_and(|v| *v != 0));
            let positions = part(port, abi::PART_POSITIONS).map(Given::floats).unwrap_or_default();
            let found = values.iter().enumerate().find(|(i, v)| !v.is_finite() && counts(*i)).map(|(_, v)| v);
            if let Some(v) = found.or_else(|| positions.iter().find(|v| !v.is_finite())) {
                let message = format!(
                    "an output became {v} in a valid cell: is an input not finite, or beyond what f32 holds?"
                );
                return Err(Error::input("", message));
            }
        }
        Ok(())
    }

    #[allow(unsafe_code, reason = "the ABI: output memory is the host's")]
    fn alloc<T>(&mut self, port: usize, part: u32, dtype: u32, shape: &[usize]) -> Result<&'a mut [T]> {
        let alloc = self.raw.alloc.ok_or_else(|| Error::resource("the host allocates no outputs"))?;
        let extents: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let mut data = std::ptr::null_mut();
        let mut error = crate::glue::empty_error();
        // SAFETY: all pointers are valid for the call; `alloc` is the host's function for `ctx`.
        let status = unsafe {
            alloc(
                self.raw.ctx,
                port as u32,
                part,
                dtype,
                extents.as_ptr(),
                extents.len() as u32,
                &mut data,
                &mut error,
            )
        };
        crate::glue::check(status, &error)?;
        let len = shape.iter().product();
        if len == 0 {
            return Ok(&mut []);
        }
        if data.is_null() {
            return Err(Error::resource("the host returned no memory for an output"));
        }
        self.given.push(Given { port, part, data: data.cast_const().cast(), len });
        // SAFETY: the host returned zeroed, aligned memory of this shape that lives until the call of `score` ends, and each
        // part is allocated once, so the slices do not overlap.
        Ok(unsafe { std::slice::from_raw_parts_mut(data.cast(), len) })
    }

    fn spec(&self, port: usize) -> Result<&'a OutputSpec> {
        self.specs.get(port).ok_or_else(|| Error::internal(format!("output {port} was not planned")))
    }

    /// The values of a grid output, `[channels, rows, cols]` as planned.
    ///
    /// # Errors
    /// Where the port was not planned or the host has no memory.
    pub fn grid(&mut self, port: usize) -> Result<&'a mut [f32]> {
        let s = self.spec(port)?;
        self.alloc(port, abi::PART_VALUES, abi::F32, &[s.channels, s.rows, s.cols])
    }

    /// The validity mask of a grid output, `[rows, cols]`; without a call all cells are valid. Write 1 where valid.
    ///
    /// # Errors
    /// As [`Outputs::grid`].
    pub fn grid_valid(&mut self, port: usize) -> Result<&'a mut [u8]> {
        let s = self.spec(port)?;
        self.alloc(port, abi::PART_VALID, abi::U8, &[s.rows, s.cols])
    }

    /// The values `[points, channels]` and positions `[points, 3]` of a cloud output.
    ///
    /// # Errors
    /// As [`Outputs::grid`].
    pub fn cloud(&mut self, port: usize, points: usize) -> Result<(&'a mut [f32], &'a mut [f32])> {
        let s = self.spec(port)?;
        let values = self.alloc(port, abi::PART_VALUES, abi::F32, &[points, s.channels])?;
        Ok((values, self.alloc(port, abi::PART_POSITIONS, abi::F32, &[points, 3])?))
    }

    /// The validity mask of a cloud output, `[points]`.
    ///
    /// # Errors
    /// As [`Outputs::grid`].
    pub fn cloud_valid(&mut self, port: usize, points: usize) -> Result<&'a mut [u8]> {
        self.alloc(port, abi::PART_VALID, abi::U8, &[points])
    }

    /// The image score of a scores output; required for each of them.
    ///
    /// # Errors
    /// Where the score is not finite or the host refuses it.
    #[allow(unsafe_code, reason = "the ABI")]
    pub fn image_score(&mut self, port: usize, score: f64) -> Result<()> {
        if !score.is_finite() {
            return Err(Error::internal(format!("the image score is {score}")));
        }
        let set =
            self.raw.set_image_score.ok_or_else(|| Error::resource("the host takes no image scores"))?;
        let mut error = crate::glue::empty_error();
        // SAFETY: `set` is the host's function for `ctx`.
        let status = unsafe { set(self.raw.ctx, port as u32, score, &mut error) };
        crate::glue::check(status, &error)
    }
}
