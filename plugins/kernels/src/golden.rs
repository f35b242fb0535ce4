//! Agreement with what other libraries compute on real scans (the shared folder's golden files).

use std::path::PathBuf;

use assay_sdk::Serial;
use ndarray::{Array2, ArrayView3, Axis, concatenate};
use safetensors::{Dtype, SafeTensors};

use crate::bank::Bank;
use crate::coreset::greedy_k_centre;
use crate::embed::{Embedding, embed};
use crate::gaussian::Moments;
use crate::score::Weighting;

/// The bytes of a golden file, or `None`, said aloud, where the shared folder is not there.
fn golden(name: &str) -> Option<Vec<u8>> {
    let shared = std::env::var_os("ASSAY_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let bytes = std::fs::read(shared.join("golden").join(name)).ok();
    if bytes.is_none() {
        eprintln!("skipped: {name}: shared scans not found");
    }
    bytes
}

fn floats(file: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f64>) {
    let tensor = file.tensor(name).unwrap();
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
        Dtype::F64 => data.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        Dtype::I64 => data.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
        other => panic!("{name}: {other:?}"),
    };
    (tensor.shape().to_vec(), values)
}

/// The patch vectors of every scan in the backbone file.
fn embeddings(how: &Embedding) -> Option<Vec<Array2<f32>>> {
    let bytes = golden("backbone.safetensors")?;
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let taps = ["c3", "c4"].map(|name| {
        let (shape, values) = floats(&file, name);
        (shape, values.into_iter().map(|x| x as f32).collect::<Vec<_>>())
    });
    let scans = taps[0].0[0];
    let views = |i: usize| {
        taps.each_ref().map(|(shape, values)| {
            let size = shape[1..].iter().product::<usize>();
            ArrayView3::from_shape((shape[1], shape[2], shape[3]), &values[i * size..][..size]).unwrap()
        })
    };
    Some((0..scans).map(|i| embed(&views(i), how, &Serial).unwrap()).collect())
}

fn stacked(scans: &[Array2<f32>]) -> Array2<f32> {
    concatenate(Axis(0), &scans.iter().map(|scan| scan.view()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn patchcore_distances_rows_and_image_scores() {
    let (Some(scans), Some(bytes)) = (embeddings(&Embedding::PATCHCORE), golden("patchcore.safetensors"))
    else {
        return;
    };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, distance) = floats(&file, "patch_distance");
    let (_, nearest) = floats(&file, "nearest_row");
    let (_, score) = floats(&file, "image_score_b9");
    let bank = Bank::new(stacked(&scans[..10]), &Serial).unwrap();
    let (mut worst, mut other_rows, mut worst_score) = (0f64, 0, 0f64);
    for (i, queries) in scans[10..].iter().enumerate() {
        let found = bank.nearest(queries.view(), &Serial).unwrap();
        for (p, n) in found.iter().enumerate() {
            let expected = distance[784 * i + p];
            let error = (f64::from(n.distance()) - expected).abs() / expected.max(1.0);
            worst = worst.max(error);
            // Another row only at the same distance, to the golden file's own accuracy.
            other_rows += usize::from(n.row != nearest[784 * i + p] as usize && error > 1e-6);
        }
        let k = (0..784).reduce(|a, b| if found[b].squared > found[a].squared { b } else { a }).unwrap();
        let image = bank.image_score(queries.row(k), found[k], 9, Weighting::PatchCore, &Serial).unwrap();
        worst_score = worst_score.max((f64::from(image) - score[i]).abs() / score[i]);
    }
    println!("distance {worst:.2e}, image score {worst_score:.2e}");
    assert!(worst < 1e-4 && worst_score < 1e-4);
    assert_eq!(other_rows, 0);
}

#[test]
fn coreset_picks_and_radii() {
    let (Some(scans), Some(bytes)) = (embeddings(&Embedding::PATCHCORE), golden("patchcore.safetensors"))
    else {
        return;
    };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, picks) = floats(&file, "coreset_rows_from_0");
    let (_, radii) = floats(&file, "coreset_radius_before_pick");
    let coreset = greedy_k_centre(stacked(&scans[..10]).view(), picks.len(), 0, &Serial).unwrap();
    assert_eq!(coreset.picks, picks.iter().map(|&x| x as usize).collect::<Vec<_>>());
    for (got, expected) in coreset.radii[1..].iter().zip(&radii) {
        assert!((f64::from(*got) - expected).abs() < 1e-4 * expected);
    }
}

#[test]
fn padim_mahalanobis() {
    let Some(bytes) = golden("padim.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let channels: Vec<usize> = floats(&file, "channels").1.into_iter().map(|x| x as usize).collect();
    let (_, expected) = floats(&file, "mahalanobis");
    let Some(scans) = embeddings(&Embedding { channels: Some(&channels), ..Embedding::PADIM }) else {
        return;
    };
    let valid = [true; 784];
    let mut moments = Moments::new(784, channels.len()).unwrap();
    for scan in &scans[..10] {
        moments.add(scan.view(), &valid, &Serial).unwrap();
    }
    let model = moments.finish(0.01, &Serial).unwrap();
    let mut worst = 0f64;
    for (i, scan) in scans[10..].iter().enumerate() {
        for (p, distance) in model.distances(scan.view(), &valid, &Serial).unwrap().into_iter().enumerate() {
            let expected = expected[784 * i + p];
            worst = worst.max((f64::from(distance) - expected).abs() / expected.max(1.0));
        }
    }
    println!("mahalanobis {worst:.2e}");
    assert!(worst < 1e-4);
}
