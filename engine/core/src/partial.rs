//! What is left of a recipe's steps where sensors measured nothing.

use crate::error::Result;
use crate::graph::{Source, Worker};
use crate::pipeline::{Pipeline, Runner};
use crate::recipe::Recipe;
use crate::value::Spec;
use assay_data::Missing;
use std::collections::BTreeMap;

/// The steps that do without some sensors.
pub struct Partial {
    /// The sensors, by their places in the recipe.
    pub missing: Vec<usize>,
    /// The scores that become the map: `(step, output)`.
    pub last: (usize, usize),
    /// Fusers that do with fewer inputs.
    pub(crate) changed: BTreeMap<usize, Changed>,
}

/// A step with fewer inputs.
pub(crate) struct Changed {
    pub(crate) from: Vec<(usize, Source)>,
    pub(crate) inputs: Vec<(usize, Spec)>,
    pub(crate) runner: Runner,
}

/// Each sensor that may be missing doubles the calibrations.
const MOST: usize = 4;

impl Partial {
    /// One for each set of sensors that may be missing and leaves something that scores.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] where nothing is left without one sensor that may be missing, or more than four may be.
    pub(crate) fn all(recipe: &Recipe, pipeline: &Pipeline) -> Result<Vec<Self>> {
        let may: Vec<usize> =
            (0..recipe.sensors.len()).filter(|&i| recipe.sensors[i].missing == Missing::Degrade).collect();
        let wrong = |sensor: usize, message: String| {
            let key = format!("sensors.{}.missing", recipe.sensors[sensor].name);
            recipe.source().error(1, key, message)
        };
        if may.len() > MOST {
            let message = format!(
                "{} sensors may be missing; at most {MOST} can be, as each combination is calibrated",
                may.len()
            );
            return Err(wrong(may[MOST], message));
        }
        let mut partials = Vec::new();
        for set in 1_usize..1 << may.len() {
            let missing: Vec<usize> =
                (0..may.len()).filter(|bit| set >> bit & 1 == 1).map(|bit| may[bit]).collect();
            match Self::without(pipeline, &missing) {
                Ok(partial) => partials.push(partial),
                Err(why) if missing.len() == 1 => {
                    let message = format!(
                        "without this sensor nothing is left to decide on: {why}; let it be \"refuse\""
                    );
                    return Err(wrong(missing[0], message));
                }
                // A scan that lacks so much is invalid.
                Err(_) => {}
            }
        }
        Ok(partials)
    }

    /// What is left without these sensors, or why nothing is.
    fn without(pipeline: &Pipeline, missing: &[usize]) -> Result<Self, String> {
        let graph = &pipeline.graph;
        let mut lost: Vec<Option<String>> = Vec::with_capacity(graph.steps.len());
        let mut changed = BTreeMap::new();
        for (at, step) in graph.steps.iter().enumerate() {
            let there = |source: &Source| match *source {
                Source::Sensor(i) => !missing.contains(&i),
                Source::Output(s, _) => lost[s].is_none(),
            };
            let from: Vec<(usize, Source)> = step.inputs.iter().filter(|(_, s)| there(s)).copied().collect();
            let ports = step.info.inputs.iter().enumerate();
            let count =
                |from: &[(usize, Source)], port: usize| from.iter().filter(|(p, _)| *p == port).count();
            let starved = ports.into_iter().find(|&(p, port)| {
                count(&from, p) < port.min_count || (count(&from, p) == 0 && count(&step.inputs, p) > 0)
            });
            let why = if from.len() == step.inputs.len() {
                None
            } else if let Some((_, port)) = starved {
                Some(format!("step `{}` needs its input `{}`", step.name, port.name))
            } else if !step.is_fuser() || step.info.fitted || !matches!(step.worker, Worker::Plugin(_)) {
                Some(format!("step `{}` learned all of its inputs", step.name))
            } else {
                let inputs = pipeline.input_specs(at, &from);
                match pipeline.instance(at, &inputs) {
                    Ok(instance) => {
                        let runner = Runner::Plugin(Box::new(instance));
                        changed.insert(at, Changed { from, inputs, runner });
                        None
                    }
                    Err(failure) => Some(format!("step `{}`: {}", step.name, failure.message)),
                }
            };
            lost.push(why);
        }
        match &lost[graph.last.0] {
            None => Ok(Self { missing: missing.to_vec(), last: graph.last, changed }),
            Some(why) => Err(why.clone()),
        }
    }
}

impl Pipeline {
    /// Names of the sensors that a partial does without.
    pub fn names(&self, partial: &Partial) -> Vec<String> {
        partial.missing.iter().map(|&i| self.sensors[i].name.clone()).collect()
    }
}
