//! What travels between the engine and a plugin's process: frames of a JSON header and bytes behind it.

use crate::plugin::descriptor::ParamValue;
use crate::plugin::instance::{Bound, Failure, FitPass};
use crate::value::{Cloud, Content, Data, Spec, Value};
use assay_data::{Frame, Grid, Image, Mask};
use ndarray::{Array2, Array3};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Longest header.
const MOST_HEADER: usize = 1 << 24;

/// Most bytes behind one.
const MOST_BYTES: u64 = 1 << 36;

/// What the engine asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Request {
    Start(Box<Start>),
    FitBegin {
        pass: u32,
        fold: u32,
        folds: u32,
        samples: usize,
        resumed: bool,
    },
    FitAdd {
        id: String,
        index: usize,
        inputs: Vec<Head>,
    },
    FitEnd,
    Score {
        id: String,
        inputs: Vec<Head>,
        native: (usize, usize),
    },
    Save,
    /// The state is behind it.
    Load,
    /// Stop the running call. No answer of its own.
    Cancel,
    /// What was kept, where there is something, is behind it. No answer.
    Kept {
        there: bool,
    },
}

/// What an instance is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) library: PathBuf,
    pub(super) sha256: String,
    pub(super) method: String,
    pub(super) who: String,
    pub(super) seed: u64,
    pub(super) threads: usize,
    pub(super) scratch: Option<PathBuf>,
    pub(super) runtime: Option<Runtime>,
    pub(super) params: Vec<Param>,
    pub(super) inputs: Vec<(usize, Shape)>,
    pub(super) native: (usize, usize),
}

/// The inference that the engine uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Runtime {
    pub(super) rten: bool,
    pub(super) device: String,
    pub(super) library: Option<PathBuf>,
}

/// What a plugin's process says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    Started {
        outputs: Vec<Shape>,
    },
    Done,
    Next {
        another: bool,
    },
    /// The values are behind it.
    Scored {
        values: Vec<Head>,
    },
    /// The state is behind it.
    State,
    Failed {
        cancelled: bool,
        parameter: Option<String>,
        message: String,
    },
    /// Not the end of a call.
    Log {
        level: u32,
        message: String,
    },
    /// Not the end of a call.
    Progress {
        fraction: f64,
        message: String,
    },
    /// Not the end of a call: what is behind it is to be kept.
    Keep,
    /// Not the end of a call: what was kept is asked for.
    AskKept,
}

impl Answer {
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed { cancelled: failure.cancelled, parameter: failure.parameter, message: failure.message }
    }
}

impl Request {
    pub(super) fn begin(fit: FitPass) -> Self {
        let FitPass { pass, fold, folds, samples, resumed } = fit;
        Self::FitBegin { pass, fold, folds, samples, resumed }
    }
}

/// A parameter's value with its type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Param {
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    IntList(Vec<i64>),
    FloatList(Vec<f64>),
    StringList(Vec<String>),
}

impl From<&ParamValue> for Param {
    fn from(value: &ParamValue) -> Self {
        match value.clone() {
            ParamValue::Bool(v) => Self::Bool(v),
            ParamValue::Int(v) => Self::Int(v),
            ParamValue::Float(v) => Self::Float(v),
            ParamValue::String(v) => Self::String(v),
            ParamValue::IntList(v) => Self::IntList(v),
            ParamValue::FloatList(v) => Self::FloatList(v),
            ParamValue::StringList(v) => Self::StringList(v),
        }
    }
}

impl From<Param> for ParamValue {
    fn from(value: Param) -> Self {
        match value {
            Param::Bool(v) => Self::Bool(v),
            Param::Int(v) => Self::Int(v),
            Param::Float(v) => Self::Float(v),
            Param::String(v) => Self::String(v),
            Param::IntList(v) => Self::IntList(v),
            Param::FloatList(v) => Self::FloatList(v),
            Param::StringList(v) => Self::StringList(v),
        }
    }
}

/// A [`Frame`]: offsets, then strides.
type Place = [f64; 4];

fn place(f: Frame) -> Place {
    [f.offset_x, f.offset_y, f.stride_x, f.stride_y]
}

fn frame([offset_x, offset_y, stride_x, stride_y]: Place) -> Frame {
    Frame { offset_x, offset_y, stride_x, stride_y }
}

/// A [`Spec`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    content: u32,
    channels: usize,
    size: Option<(usize, usize)>,
    frame: Place,
    range: Option<(f64, f64)>,
    name: String,
}

impl From<&Spec> for Shape {
    fn from(spec: &Spec) -> Self {
        let Spec { content, channels, size, frame, range, name } = spec.clone();
        Self { content: content.bit(), channels, size, frame: place(frame), range, name }
    }
}

impl Shape {
    /// # Errors
    /// A content that there is none of.
    pub(super) fn spec(self) -> Result<Spec, String> {
        let Self { channels, size, range, name, .. } = self;
        Ok(Spec { content: content(self.content)?, channels, size, frame: frame(self.frame), range, name })
    }
}

fn content(bit: u32) -> Result<Content, String> {
    match Content::in_set(bit).as_slice() {
        [content] if content.bit() == bit => Ok(*content),
        _ => Err(format!("there is no content {bit}")),
    }
}

/// A value without its numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    port: usize,
    content: u32,
    image_score: Option<f64>,
    form: Form,
    valid: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Form {
    /// `[H, W, C]` bytes.
    Image([usize; 3], Place),
    /// `[C, H, W]` numbers.
    Grid([usize; 3], Place),
    /// Points and channels: `[N, 3]` and `[N, C]` numbers.
    Cloud([usize; 2]),
}

/// Bytes of a frame, piece by piece.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// Values as heads, and their numbers.
pub(super) fn encode<'a>(inputs: &[Bound<'a>]) -> (Vec<Head>, Pieces<'a>) {
    let mut heads = Vec::new();
    let mut pieces: Pieces<'a> = Vec::new();
    for &(port, value) in inputs {
        let (form, valid) = match &value.data {
            Data::Image(image) => {
                pieces.push(bytes(image.pixels.as_slice(), || image.pixels.iter().copied().collect()));
                let (h, w, c) = image.pixels.dim();
                (Form::Image([h, w, c], place(image.frame)), image.valid.as_ref())
            }
            Data::Grid(grid) => {
                pieces.push(bytes(grid.values.as_slice(), || grid.values.iter().copied().collect()));
                let (c, h, w) = grid.values.dim();
                (Form::Grid([c, h, w], place(grid.frame)), grid.valid.as_ref())
            }
            Data::Cloud(cloud) => {
                pieces.push(bytes(cloud.positions.as_slice(), || cloud.positions.iter().copied().collect()));
                pieces.push(bytes(cloud.values.as_slice(), || cloud.values.iter().copied().collect()));
                if let Some(valid) = &cloud.valid {
                    pieces.push(Cow::Borrowed(bytemuck::cast_slice(valid)));
                }
                (Form::Cloud([cloud.positions.nrows(), cloud.values.ncols()]), None)
            }
        };
        let mut masked = matches!(&value.data, Data::Cloud(c) if c.valid.is_some());
        if let Some(mask) = valid {
            pieces.push(bytes(mask.as_slice(), || mask.iter().copied().collect()));
            masked = true;
        }
        heads.push(Head {
            port,
            content: value.content.bit(),
            image_score: (!value.image_score.is_nan()).then_some(value.image_score),
            form,
            valid: masked,
        });
    }
    (heads, pieces)
}

/// The bytes of an array: its own where it lies in order.
fn bytes<'a, T: bytemuck::NoUninit>(
    whole: Option<&'a [T]>,
    copied: impl FnOnce() -> Vec<T>,
) -> Cow<'a, [u8]> {
    match whole {
        Some(whole) => Cow::Borrowed(bytemuck::cast_slice(whole)),
        None => Cow::Owned(bytemuck::cast_slice(&copied()).to_vec()),
    }
}

/// Numbers behind a header.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, extents: &[usize], size: usize) -> Result<&'a [u8], String> {
        let len = extents.iter().try_fold(size, |n, e| n.checked_mul(*e)).filter(|n| *n <= self.0.len());
        let (now, later) = self.0.split_at(len.ok_or("a value is longer than what was sent")?);
        self.0 = later;
        Ok(now)
    }

    fn floats(&mut self, extents: &[usize]) -> Result<Vec<f32>, String> {
        let (words, _) = self.take(extents, 4)?.as_chunks::<4>();
        Ok(words.iter().map(|w| f32::from_ne_bytes(*w)).collect())
    }

    fn flags(&mut self, extents: &[usize]) -> Result<Vec<bool>, String> {
        Ok(self.take(extents, 1)?.iter().map(|b| *b != 0).collect())
    }
}

/// Values from heads and their numbers.
///
/// # Errors
/// Where they do not go together.
pub(super) fn decode(heads: Vec<Head>, bytes: &[u8]) -> Result<Vec<(usize, Value)>, String> {
    let mut rest = Rest(bytes);
    let shape = |e: ndarray::ShapeError| e.to_string();
    let mut values = Vec::new();
    for head in heads {
        let mask = |rest: &mut Rest<'_>, rows: usize, cols: usize| -> Result<Option<Mask>, String> {
            let flags = head.valid.then(|| rest.flags(&[rows, cols])).transpose()?;
            flags.map(|f| Mask::from_shape_vec((rows, cols), f).map_err(shape)).transpose()
        };
        let data = match head.form {
            Form::Image([h, w, c], place) => {
                let pixels = rest.take(&[h, w, c], 1)?.to_vec();
                let pixels = Array3::from_shape_vec((h, w, c), pixels).map_err(shape)?;
                Data::Image(Image { pixels, valid: mask(&mut rest, h, w)?, frame: frame(place) })
            }
            Form::Grid([c, h, w], place) => {
                let numbers = rest.floats(&[c, h, w])?;
                let numbers = Array3::from_shape_vec((c, h, w), numbers).map_err(shape)?;
                Data::Grid(Grid { values: numbers, valid: mask(&mut rest, h, w)?, frame: frame(place) })
            }
            Form::Cloud([n, c]) => {
                let positions = Array2::from_shape_vec((n, 3), rest.floats(&[n, 3])?).map_err(shape)?;
                let numbers = Array2::from_shape_vec((n, c), rest.floats(&[n, c])?).map_err(shape)?;
                let valid = head.valid.then(|| rest.flags(&[n])).transpose()?;
                Data::Cloud(Cloud { positions, values: numbers, valid })
            }
        };
        let image_score = head.image_score.unwrap_or(f64::NAN);
        values.push((head.port, Value { content: content(head.content)?, data, image_score }));
    }
    if rest.0.is_empty() { Ok(values) } else { Err("more was sent than values have".into()) }
}

/// Writes a frame.
///
/// # Errors
/// Where the other side is gone.
pub(super) fn write(
    out: &mut dyn Write,
    header: &impl Serialize,
    pieces: &[Cow<'_, [u8]>],
) -> std::io::Result<()> {
    let header = serde_json::to_vec(header).map_err(std::io::Error::other)?;
    let bytes: u64 = pieces.iter().map(|p| p.len() as u64).sum();
    let lengths = [&(header.len() as u32).to_le_bytes()[..], &bytes.to_le_bytes(), &header].concat();
    out.write_all(&lengths)?;
    pieces.iter().try_for_each(|piece| out.write_all(piece))?;
    out.flush()
}

/// Reads a frame; `None` at the end.
///
/// # Errors
/// Where it ends too soon or is none.
pub(super) fn read<T: DeserializeOwned>(input: &mut dyn Read) -> std::io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0u8; 12];
    let mut have = 0;
    while have < lengths.len() {
        match input.read(&mut lengths[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => have += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let (header, bytes) = lengths.split_at(4);
    let number = |b: &[u8]| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (header, bytes) = (number(header) as usize, number(bytes));
    if header > MOST_HEADER || bytes > MOST_BYTES {
        return Err(std::io::Error::other("a frame is longer than any is"));
    }
    let header = exactly(input, header)?;
    let bytes = exactly(input, bytes as usize)?;
    let header = serde_json::from_slice(&header).map_err(std::io::Error::other)?;
    Ok(Some((header, bytes)))
}

fn exactly(input: &mut dyn Read, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| std::io::Error::other(format!("no memory for {len} bytes")))?;
    input.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() == len { Ok(bytes) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_sent() {
        let at = Frame { offset_x: 0.5, offset_y: -1.0, stride_x: 1.0 / 3.0, stride_y: 2.0 };
        let image = Image {
            pixels: Array3::from_shape_fn((4, 5, 3), |(i, j, k)| (i * 15 + j * 3 + k) as u8),
            valid: Some(Mask::from_shape_fn((4, 5), |(i, j)| i != j)),
            frame: at,
        };
        let columns = Array3::from_shape_fn((5, 4, 2), |(i, j, k)| (i + 10 * j + 100 * k) as f32 / 7.0);
        // Not in order in memory.
        let grid = Grid { values: columns.permuted_axes([2, 1, 0]), valid: None, frame: at };
        let cloud = Cloud {
            positions: Array2::from_shape_fn((6, 3), |(i, j)| (i * j) as f32),
            values: Array2::zeros((6, 0)),
            valid: Some(vec![true, false, true, true, false, true]),
        };
        let value = |content, data, image_score| Value { content, data, image_score };
        let values = [
            value(Content::Rgb, Data::Image(image), f64::NAN),
            value(Content::Scores, Data::Grid(grid), 0.1 + 0.2),
            value(Content::Points, Data::Cloud(cloud), f64::NAN),
        ];
        let bound: Vec<Bound<'_>> = values.iter().enumerate().collect();
        let (inputs, pieces) = encode(&bound);
        let mut sent = Vec::new();
        write(&mut sent, &Request::Score { id: "a".into(), inputs, native: (4, 5) }, &pieces).unwrap();
        let (request, bytes) = read::<Request>(&mut sent.as_slice()).unwrap().unwrap();
        let Request::Score { id, inputs, native } = request else { panic!("{request:?}") };
        assert_eq!((id.as_str(), native), ("a", (4, 5)));
        let got = decode(inputs.clone(), &bytes).unwrap();
        for ((port, got), (n, value)) in got.iter().zip(&bound) {
            assert!(port == n && got.content == value.content && got.data == value.data);
            assert_eq!(got.image_score.to_bits(), value.image_score.to_bits());
        }
        // What does not go together is an error, whatever it claims.
        assert!(decode(inputs.clone(), &bytes[1..]).is_err());
        assert!(decode(inputs.clone(), &[bytes.clone(), vec![0]].concat()).is_err());
        let mut huge = inputs;
        huge[1].form = Form::Grid([usize::MAX, 2, 3], place(at));
        assert!(decode(huge, &bytes).is_err());
        for len in 0..sent.len() {
            let cut = read::<Request>(&mut &sent[..len]);
            assert!(cut.is_err() || (len == 0 && cut.is_ok_and(|c| c.is_none())), "{len}");
        }
        assert!(read::<Request>(&mut &[0xFF; 64][..]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_broken_process_sends_is_an_answer_or_an_error(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            at in 0usize..400,
            byte in proptest::num::u8::ANY,
        ) {
            let _ = read::<Answer>(&mut bytes.as_slice());
            let grid = Grid { values: Array3::zeros((1, 3, 4)), valid: None, frame: Frame::NATIVE };
            let value = Value { content: Content::Scores, data: Data::Grid(grid), image_score: 0.5 };
            let (values, pieces) = encode(&[(0, &value)]);
            let mut sent = Vec::new();
            write(&mut sent, &Answer::Scored { values }, &pieces).unwrap();
            let at = at % sent.len();
            // The length of what is behind the header is what the system is asked for: not a byte of it is taken before it is there.
            if at >= 12 {
                sent[at] = byte;
                if let Ok(Some((Answer::Scored { values }, bytes))) = read(&mut sent.as_slice()) {
                    let _ = decode(values, &bytes);
                }
            }
        }
    }
}
