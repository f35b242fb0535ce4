#![allow(missing_docs, clippy::all)]
use assay_data::*;
use assay_data::prepare::{resize, Background};
use std::path::Path;
use std::time::Instant;
fn time<T>(name:&str, n:usize, mut f: impl FnMut()->T){ let mut best=f64::MAX; let mut v=vec![]; for _ in 0..n { let t=Instant::now(); std::hint::black_box(f()); let e=t.elapsed().as_secs_f64()*1e3; best=best.min(e); v.push(e);} v.sort_by(|a,b|a.total_cmp(b)); println!("{name}: median {:.3} ms best {:.3}", v[n/2], best); }
fn main(){
  let a: Vec<String>=std::env::args().collect(); let l=Limits::default();
  let list = |p:&str| -> Vec<std::path::PathBuf> { std::fs::read_to_string(p).unwrap().lines().map(|x|x.into()).collect() };
  match a[1].as_str() {
    "xyz" => for (k,p) in list(&a[2]).iter().enumerate() { match decode::xyz(p,1.0,&l) { Ok(g)=>{ let mut b:Vec<u8>=vec![]; for v in g.values.iter(){b.extend(v.to_le_bytes())}; std::fs::write(format!("{}/{k}.raw",a[3]),b).unwrap();}, Err(e)=>println!("{e}") } },
    "rgb" => for (k,p) in list(&a[2]).iter().enumerate() { let i=decode::image(p,&l).unwrap(); std::fs::write(format!("{}/{k}.raw",a[3]),i.as_slice().unwrap()).unwrap(); for s in [(224,224),(320,320),(300,500)] { let r=resize::image(&i,s).unwrap(); std::fs::write(format!("{}/{k}_{}.raw",a[3],s.0),r.as_slice().unwrap()).unwrap(); } },
    "fg" => for (k,p) in list(&a[2]).iter().enumerate() { let g=decode::xyz(p,1.0,&l).unwrap(); let t=Instant::now(); let f=Background::default().remove(&g).unwrap(); let e=t.elapsed().as_secs_f64()*1e3; let b:Vec<u8>=f.mask.iter().map(|&x|x as u8).collect(); std::fs::write(format!("{}/{k}.raw",a[3]),b).unwrap(); println!("{} {e:.2} ms {:?}", p.display(), f.plane.map(|p|(p.normal,p.offset))); },
    "fuzz" => { let files=list(&a[2]); let n:u64=a[3].parse().unwrap(); let mut x=88172645463325252u64; let mut r=move||{x^=x<<13;x^=x>>7;x^=x<<17;x};
      let sm=Limits{max_pixels:1<<20,max_file_bytes:1<<24,max_points:1<<16}; let tmp=std::env::temp_dir().join(format!("C_fuzz_{}",std::process::id())); let data:Vec<Vec<u8>>=files.iter().map(|f|std::fs::read(f).unwrap()).collect();
      let mut seen=std::collections::BTreeMap::<String,(u64,Vec<u8>)>::new(); let mut ok=0;
      static MSG: std::sync::Mutex<String>=std::sync::Mutex::new(String::new());
      std::panic::set_hook(Box::new(|i|{*MSG.lock().unwrap()=i.to_string();}));
      for _ in 0..n { let mut b=data[(r() as usize)%data.len()].clone(); let dir=if b.starts_with(b"II*"){u32::from_le_bytes([b[4],b[5],b[6],b[7]]) as usize}else{8}; 
        for _ in 0..1+r()%4 { let at= if r()%4>0 {dir.min(b.len()-1)+(r() as usize)%300} else {r() as usize}; let at=at%b.len(); b[at]= match r()%3 {0=>r() as u8,1=>(r()%12) as u8,_=>b[at]^(1<<(r()%8))}; }
        std::fs::write(&tmp,&b).unwrap();
        let res=std::panic::catch_unwind(||{ (decode::image(&tmp,&sm).is_ok() as u32)+(decode::xyz(&tmp,1.0,&sm).is_ok() as u32)+(decode::depth(&tmp,1.0,&sm).is_ok() as u32)+(decode::mask(&tmp,&sm).is_ok() as u32)+(decode::map(&tmp,&sm).is_ok() as u32)+(decode::points(&tmp,1.0,&sm).is_ok() as u32)});
        match res {Ok(k)=>ok+=(k>0) as u64, Err(_)=>{let m=MSG.lock().unwrap().clone(); let e=seen.entry(m).or_insert((0,b)); e.0+=1;}} }
      println!("{n} cases, {ok} read"); for (m,(c,b)) in seen { println!("PANIC x{c} ({} bytes): {m}",b.len()); } }
    _ => { let d=Path::new(&a[2]);
      time("png 400",50,||decode::image(&d.join("mvtec3d/cable_gland/train/good/rgb/000.png"),&l).unwrap());
      time("tiff deflate+pred3 400",50,||decode::xyz(&d.join("mvtec3d/cable_gland/train/good/xyz/000.tiff"),1.0,&l).unwrap());
      time("tiff original 400",50,||decode::xyz(&d.join("mvtec3d/original_bytes/train_good_000.tiff"),1.0,&l).unwrap());
      let j=std::fs::read_dir(d.join("mvtec/kolektor_commutator/train/good")).unwrap().next().unwrap().unwrap().path();
      time("jpeg kolektor",20,||decode::image(&j,&l).unwrap());
      time("gt mask",50,||decode::mask(&d.join("mvtec3d/cable_gland/test/bent/gt/000.png"),&l).unwrap());
      let i=decode::image(&d.join("mvtec3d/cable_gland/train/good/rgb/000.png"),&l).unwrap();
      let g=decode::xyz(&d.join("mvtec3d/cable_gland/train/good/xyz/000.tiff"),1.0,&l).unwrap();
      time("bicubic u8 400->320",50,||resize::image(&i,(320,320)).unwrap());
      time("bicubic f32x3 400->320",50,||resize::planes(g.values.view(),(320,320)).unwrap());
      time("grid 400->224",50,||resize::grid(&g,(224,224)).unwrap());
      time("nearest 400->224",50,||resize::nearest(&g,(224,224)).unwrap());
      time("background",50,||Background::default().remove(&g).unwrap());
      let mut h=g.clone(); h.valid.as_mut().unwrap().slice_mut(ndarray::s![..10,..]).fill(false);
      let nb=Background{ least_share:1.0, plane_distance:1e-6, ..Default::default()};
      time("background worst: no plane, 1000 iterations, all linked",20,||nb.remove(&h).unwrap());
      let m=Background::default().remove(&g).unwrap().mask;
      time("dilate 5",50,||prepare::dilate(&m,5));
      time("mask resize 224",50,||resize::mask(&m,(224,224),resize::MaskRule::Majority).unwrap());
      let dir=std::env::temp_dir().join("C_map.tiff"); let map=ndarray::Array2::<f32>::zeros((400,400));
      time("write map",10,||decode::write_map(&dir,&map).unwrap());
      time("read map",20,||decode::map(&dir,&l).unwrap());
    } } }
