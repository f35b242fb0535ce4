/* A method plugin in C: how far the brightness of each cell of a picture is from what good scans show there.
 *
 * It is for parts that lie still, and for reading: a whole detector, with parameters, several threads, a saved state and
 * errors that say what to do, against assay.h alone. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assay/assay.h"

/* Most cells of a grid: what a plan may ask for. */
#define MOST_CELLS ((int64_t)1 << 24)
/* Changes with the layout of a saved state. */
#define STATE_MAGIC 0x31534c4c45434147u

typedef struct cells {
  const assay_host *host;
  int64_t cell;        /* side of a cell in pixels */
  double least;        /* least deviation of a cell, in grey values */
  int64_t rows, cols;  /* of the picture */
  int64_t n;           /* cells of the grid */
  double scans;        /* seen so far */
  double *mean, *square; /* of each cell: mean, and sum of squared distances from it, over the scans */
  double *seen;        /* scans in which it was valid */
  bool fitting, fitted;
} cells;

/* ---- errors ------------------------------------------------------------------------------------------------- */

static assay_status fail(assay_error *error, assay_status code, const char *subject, const char *message) {
  if (error) {
    error->code = code;
    snprintf(error->subject, sizeof error->subject, "%s", subject);
    snprintf(error->message, sizeof error->message, "%s", message);
  }
  return code;
}

/* ---- descriptor --------------------------------------------------------------------------------------------- */

static const assay_port input = {
    .struct_size = sizeof(assay_port),
    .content = ASSAY_RGB | ASSAY_GRAY,
    .layout = ASSAY_LAYOUT_GRID,
    .min_count = 1,
    .max_count = 1,
    .name = "image",
    .doc = "The picture; of colour the mean of the three channels is taken.",
};
static const assay_port output = {
    .struct_size = sizeof(assay_port),
    .content = ASSAY_SCORES,
    .layout = ASSAY_LAYOUT_GRID,
    .min_count = 1,
    .max_count = 1,
    .name = "scores",
    .doc = "How many deviations the brightness of each cell is from that of good scans.",
};
static const assay_param_value default_cell = {
    .struct_size = sizeof(assay_param_value), .type = ASSAY_INT, .i = 8};
static const assay_param_value default_least = {
    .struct_size = sizeof(assay_param_value), .type = ASSAY_FLOAT, .f = 2.0};
static const assay_param cell_param = {
    .struct_size = sizeof(assay_param),
    .type = ASSAY_INT,
    .name = "cell",
    .doc = "Side of a cell.",
    .unit = "px",
    .default_value = &default_cell,
    .min = 1,
    .max = 4096,
};
static const assay_param least_param = {
    .struct_size = sizeof(assay_param),
    .type = ASSAY_FLOAT,
    .name = "least_deviation",
    .doc = "Least deviation of a cell, for cells that never change on good scans.",
    .unit = "grey values",
    .default_value = &default_least,
    .min = 1e-3,
    .max = 255,
};
static const assay_port *const inputs[] = {&input};
static const assay_port *const outputs[] = {&output};
static const assay_param *const params[] = {&cell_param, &least_param};

/* ---- life --------------------------------------------------------------------------------------------------- */

static assay_status create(const assay_method *method, const assay_host *host, const assay_param_value *const *values,
                           uint32_t n_params, void **instance, assay_error *error) {
  (void)method;
  if (n_params != 2) return fail(error, ASSAY_ERR_STATE, "", "two parameters were expected");
  /* In the descriptor's order. The host has checked ranges; a test has not. */
  const int64_t cell = values[0]->i;
  const double least = values[1]->f;
  if (cell < 1 || cell > 4096) return fail(error, ASSAY_ERR_PARAMETER, "cell", "it is from 1 to 4096 px");
  if (!(least >= 1e-3 && least <= 255))
    return fail(error, ASSAY_ERR_PARAMETER, "least_deviation", "it is from 0.001 to 255 grey values");
  cells *this = calloc(1, sizeof *this);
  if (!this) return fail(error, ASSAY_ERR_RESOURCE, "", "out of memory");
  this->host = host;
  this->cell = cell;
  this->least = least;
  *instance = this;
  return ASSAY_OK;
}

static void destroy(void *instance) {
  cells *this = instance;
  if (!this) return;
  free(this->mean);
  free(this->square);
  free(this->seen);
  free(this);
}

static assay_status plan(void *instance, const assay_spec *const *in, uint32_t n_inputs, assay_spec *const *out,
                         uint32_t n_outputs, assay_error *error) {
  cells *this = instance;
  if (n_inputs != 1 || n_outputs != 1) return fail(error, ASSAY_ERR_INPUT, "image", "one picture was expected");
  const int64_t rows = in[0]->rows / this->cell, cols = in[0]->cols / this->cell;
  if (rows < 1 || cols < 1)
    return fail(error, ASSAY_ERR_PARAMETER, "cell", "the picture is smaller than a cell: choose a smaller `cell`");
  if (rows > MOST_CELLS / cols) return fail(error, ASSAY_ERR_INPUT, "image", "the picture has too many cells");
  this->rows = in[0]->rows;
  this->cols = in[0]->cols;
  this->n = rows * cols;
  this->mean = calloc((size_t)this->n, sizeof(double));
  this->square = calloc((size_t)this->n, sizeof(double));
  this->seen = calloc((size_t)this->n, sizeof(double));
  if (!this->mean || !this->square || !this->seen) return fail(error, ASSAY_ERR_RESOURCE, "", "out of memory");
  out[0]->content = ASSAY_SCORES;
  out[0]->layout = ASSAY_LAYOUT_GRID;
  out[0]->channels = 1;
  out[0]->rows = rows;
  out[0]->cols = cols;
  out[0]->value_min = 0;
  out[0]->value_max = NAN;
  /* The frame of the input's pixels, `cell` of them a column: centres move by half of what a cell is wider. */
  const double side = (double)this->cell;
  out[0]->frame = in[0]->frame;
  out[0]->frame.stride_x *= side;
  out[0]->frame.stride_y *= side;
  return ASSAY_OK;
}

/* ---- brightness --------------------------------------------------------------------------------------------- */

/* A picture as planned, or an error. */
static assay_status picture(const cells *this, const assay_sample *sample, const assay_value **value,
                            assay_error *error) {
  if (!this->n) return fail(error, ASSAY_ERR_STATE, "", "plan comes first");
  if (sample->n_inputs != 1) return fail(error, ASSAY_ERR_INPUT, "image", "one picture was expected");
  const assay_tensor *t = sample->inputs[0]->values;
  if (t->dtype != ASSAY_F32 || t->ndim != 3 || t->shape[1] != this->rows || t->shape[2] != this->cols)
    return fail(error, ASSAY_ERR_INPUT, "image", "the picture is not of the planned size");
  *value = sample->inputs[0];
  return ASSAY_OK;
}

/* Mean brightness of a cell's valid pixels; false where it has none. */
static bool brightness(const cells *this, const assay_value *value, int64_t at, double *mean) {
  const int64_t cols = this->cols / this->cell;
  const int64_t first_row = at / cols * this->cell, first_col = at % cols * this->cell;
  const int64_t channels = value->values->shape[0], plane = this->rows * this->cols;
  const float *pixels = value->values->data;
  const uint8_t *valid = value->valid ? value->valid->data : NULL;
  double sum = 0, count = 0;
  for (int64_t row = first_row; row < first_row + this->cell; row++)
    for (int64_t col = first_col; col < first_col + this->cell; col++) {
      const int64_t i = row * this->cols + col;
      if (valid && !valid[i]) continue;
      for (int64_t channel = 0; channel < channels; channel++) sum += pixels[channel * plane + i];
      count += (double)channels;
    }
  if (count > 0) *mean = sum / count;
  return count > 0;
}

/* ---- fit ---------------------------------------------------------------------------------------------------- */

static assay_status fit_begin(void *instance, const assay_fit *fit, assay_error *error) {
  cells *this = instance;
  (void)fit;
  if (!this->n) return fail(error, ASSAY_ERR_STATE, "", "plan comes first");
  memset(this->mean, 0, (size_t)this->n * sizeof(double));
  memset(this->square, 0, (size_t)this->n * sizeof(double));
  memset(this->seen, 0, (size_t)this->n * sizeof(double));
  this->scans = 0;
  this->fitting = true;
  this->fitted = false;
  return ASSAY_OK;
}

static assay_status fit_add(void *instance, const assay_sample *sample, assay_error *error) {
  cells *this = instance;
  const assay_value *value;
  const assay_status status = picture(this, sample, &value, error);
  if (status) return status;
  if (!this->fitting) return fail(error, ASSAY_ERR_STATE, "", "fit_begin comes first");
  for (int64_t at = 0; at < this->n; at++) {
    double grey;
    if (!brightness(this, value, at, &grey)) continue;
    if (!isfinite(grey)) return fail(error, ASSAY_ERR_INPUT, "image", "a brightness is not finite");
    /* Welford: nothing cancels. */
    const double before = grey - this->mean[at];
    this->seen[at] += 1;
    this->mean[at] += before / this->seen[at];
    this->square[at] += before * (grey - this->mean[at]);
  }
  this->scans += 1;
  return ASSAY_OK;
}

static assay_status fit_end(void *instance, uint32_t *next, assay_error *error) {
  cells *this = instance;
  if (!this->fitting) return fail(error, ASSAY_ERR_STATE, "", "fit_begin comes first");
  this->fitting = false;
  if (this->scans < 2) return fail(error, ASSAY_ERR_INPUT, "image", "deviations take at least two good scans");
  this->fitted = true;
  *next = ASSAY_FIT_DONE;
  return ASSAY_OK;
}

/* ---- score -------------------------------------------------------------------------------------------------- */

static assay_status score_one(const cells *this, const assay_sample *sample, const assay_outputs *out,
                              assay_error *error) {
  const assay_value *value;
  assay_status status = picture(this, sample, &value, error);
  if (status) return status;
  const int64_t cols = this->cols / this->cell, shape[] = {1, this->n / cols, cols};
  void *memory;
  status = out->alloc(out->ctx, 0, ASSAY_PART_VALUES, ASSAY_F32, shape, 3, &memory, error);
  if (status) return status;
  float *scores = memory;
  status = out->alloc(out->ctx, 0, ASSAY_PART_VALID, ASSAY_U8, shape + 1, 2, &memory, error);
  if (status) return status;
  uint8_t *valid = memory;
  double most = 0;
  for (int64_t at = 0; at < this->n; at++) {
    double grey;
    /* What was never seen is not known. */
    if (this->seen[at] < 2 || !brightness(this, value, at, &grey)) continue;
    const double deviation = sqrt(this->square[at] / (this->seen[at] - 1));
    const double score = fabs(grey - this->mean[at]) / fmax(deviation, this->least);
    /* Numbers that leave a plugin are finite. */
    if (!isfinite((float)score)) return fail(error, ASSAY_ERR_INPUT, "image", "a score is not finite");
    scores[at] = (float)score;
    valid[at] = 1;
    most = fmax(most, score);
  }
  return out->set_image_score(out->ctx, 0, most, error);
}

static assay_status score(const void *instance, const assay_sample *const *samples, const assay_outputs *const *out,
                          uint32_t n, assay_error *error) {
  const cells *this = instance;
  if (!this->fitted) return fail(error, ASSAY_ERR_STATE, "", "not fitted");
  for (uint32_t i = 0; i < n; i++) {
    const assay_status status = score_one(this, samples[i], out[i], error);
    if (status) return status;
  }
  return ASSAY_OK;
}

/* ---- state -------------------------------------------------------------------------------------------------- */

static assay_status save(const void *instance, const assay_writer *to, assay_error *error) {
  const cells *this = instance;
  if (!this->fitted) return fail(error, ASSAY_ERR_STATE, "", "not fitted");
  const uint64_t head[] = {STATE_MAGIC, (uint64_t)this->n};
  const size_t length = (size_t)this->n * sizeof(double);
  const bool written = to->write(to->ctx, head, sizeof head) == ASSAY_OK &&
                       to->write(to->ctx, this->mean, length) == ASSAY_OK &&
                       to->write(to->ctx, this->square, length) == ASSAY_OK &&
                       to->write(to->ctx, this->seen, length) == ASSAY_OK;
  return written ? ASSAY_OK : fail(error, ASSAY_ERR_RESOURCE, "", "the state could not be written");
}

/* All `len` bytes: short reads are ordinary. */
static bool read_all(const assay_reader *from, void *data, size_t len) {
  for (size_t done = 0; done < len;) {
    const int64_t n = from->read(from->ctx, (char *)data + done, len - done);
    if (n <= 0) return false;
    done += (size_t)n;
  }
  return true;
}

static assay_status load(void *instance, const assay_reader *from, assay_error *error) {
  cells *this = instance;
  uint64_t head[2];
  this->fitting = this->fitted = false;
  if (!this->n) return fail(error, ASSAY_ERR_STATE, "", "plan comes first");
  if (!read_all(from, head, sizeof head) || head[0] != STATE_MAGIC || head[1] != (uint64_t)this->n)
    return fail(error, ASSAY_ERR_STATE, "", "this is not a state of `cells` for pictures of this size");
  const size_t length = (size_t)this->n * sizeof(double);
  if (!read_all(from, this->mean, length) || !read_all(from, this->square, length) ||
      !read_all(from, this->seen, length))
    return fail(error, ASSAY_ERR_STATE, "", "the state ends too soon");
  char more;
  if (from->read(from->ctx, &more, 1) != 0) return fail(error, ASSAY_ERR_STATE, "", "the state goes on after its end");
  for (int64_t at = 0; at < this->n; at++)
    if (!isfinite(this->mean[at]) || !(this->square[at] >= 0) || !isfinite(this->square[at]) || !(this->seen[at] >= 0))
      return fail(error, ASSAY_ERR_STATE, "", "the state is damaged");
  this->fitted = true;
  return ASSAY_OK;
}

/* ---- the library -------------------------------------------------------------------------------------------- */

static const assay_method method = {
    .struct_size = sizeof(assay_method),
    .flags = ASSAY_FLAG_FITTED | ASSAY_FLAG_CONCURRENT_SCORE | ASSAY_FLAG_DETERMINISTIC,
    .id = "cells",
    .name = "Brightness of cells",
    .summary = "How far the brightness of each cell is from what good scans show there.",
    .vendor = "an integrator",
    .version = "1.0.0",
    .licence = "MIT OR Apache-2.0",
    .paper = "",
    .deviations = "",
    .n_inputs = 1,
    .n_outputs = 1,
    .n_params = 2,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .create = create,
    .plan = plan,
    .fit_begin = fit_begin,
    .fit_add = fit_add,
    .fit_end = fit_end,
    .score = score,
    .save = save,
    .load = load,
    .destroy = destroy,
};
static const assay_method *const methods[] = {&method};
static const assay_plugin plugin = {
    .struct_size = sizeof(assay_plugin),
    .n_methods = 1,
    .name = "cells",
    .version = "1.0.0",
    .methods = methods,
};

static const assay_plugin *the_plugin(void) { return &plugin; }

ASSAY_EXPORT const assay_entry_table assay_entry = {
    .struct_size = sizeof(assay_entry_table),
    .abi_major = ASSAY_ABI_MAJOR,
    .abi_minor = ASSAY_ABI_MINOR,
    .plugin = the_plugin,
};
