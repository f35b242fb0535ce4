/* A plugin that does all that it should, and, with a macro FAULT_..., one thing that it should not.
 *
 * tests/validator.rs builds it with each fault and sees that `assay plugin validate` finds that one. What it does: how far the
 * brightness of a pixel is from the levels of good scans. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "assay/assay.h"

#define BINS 16
#define MAGIC 0x736c6576656c21u
#define VERSION 3u

typedef struct levels {
  const assay_host *host;
  double strength;
  bool most;               /* the image score is the greatest score, not the mean */
  int64_t rows, cols;
  uint64_t bins;
  double sum[BINS], count[BINS], scans;
  bool fitting, fitted;
  float *scratch, *past;
  void *leak;
} levels;

#ifdef FAULT_SHARED
static double shared_sum[BINS], shared_count[BINS];
#define SUM(this) shared_sum
#define COUNT(this) shared_count
#else
#define SUM(this) (this)->sum
#define COUNT(this) (this)->count
#endif

static void *sleeper(void *arg) {
  for (;;) pause();
  return arg;
}

static void start_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, sleeper, NULL);
  pthread_detach(thread);
}

#if defined(FAULT_THREAD_AT_LOADING) || defined(FAULT_PRINTS_AT_LOADING)
__attribute__((constructor)) static void at_loading(void) {
#ifdef FAULT_THREAD_AT_LOADING
  start_thread();
#else
  puts("hello from the plugin");
#endif
}
#endif
#ifdef FAULT_EXPORTS
ASSAY_EXPORT int helper_of_everyone(void) { return 1; }
#endif

static assay_status fail(assay_error *error, assay_status code, const char *subject, const char *message) {
  if (error) {
#ifndef FAULT_WITHOUT_MESSAGE
    snprintf(error->subject, sizeof error->subject, "%s", subject);
    snprintf(error->message, sizeof error->message, "%s", message);
#endif
    error->code = code;
  }
  return code;
}

static void destroy(void *instance) {
  levels *this = instance;
  if (!this) return;
#ifdef FAULT_DESTROYED_EARLY
  this->scratch[0] = 0;
#endif
#ifndef FAULT_LEAKS
  free(this->leak);
#endif
  free(this->scratch);
  free(this);
}

static assay_status create(const assay_method *method, const assay_host *host, const assay_param_value *const *params,
                           uint32_t n, void **instance, assay_error *error) {
  (void)method;
#ifdef FAULT_FORGETS_DEFAULTS
  const double strength = n > 0 ? params[0]->f : 99;
  const char *score = n > 1 ? params[1]->s : "mean";
#else
  if (n != 2) return fail(error, ASSAY_ERR_STATE, "", "two parameters were expected");
  const double strength = params[0]->f;
  const char *score = params[1]->s;
#endif
#ifndef FAULT_TAKES_ANYTHING
  if (!(strength >= 0 && strength <= 100)) return fail(error, ASSAY_ERR_PARAMETER, "strength", "it is from 0 to 100");
#endif
  if (strcmp(score, "mean") && strcmp(score, "most"))
    return fail(error, ASSAY_ERR_PARAMETER, "score", "it is mean or most");
#ifdef FAULT_REFUSES_ITS_DEFAULTS
  if (strength == 1) return fail(error, ASSAY_ERR_PARAMETER, "strength", "not this one");
#endif
#ifdef FAULT_REFUSES_A_CHOICE
  if (!strcmp(score, "most")) return fail(error, ASSAY_ERR_PARAMETER, "score", "most is not written yet");
#endif
  levels *this = calloc(1, sizeof *this);
  if (!this) return fail(error, ASSAY_ERR_RESOURCE, "", "out of memory");
  this->host = host;
  this->strength = strength;
  this->most = !strcmp(score, "most");
  this->bins = BINS;
  this->leak = malloc(200);
#ifdef FAULT_THREAD_LEFT
  start_thread();
#endif
#ifdef FAULT_FILE_LEFT
  if (!fopen("/dev/null", "r")) return fail(error, ASSAY_ERR_RESOURCE, "", "no file");
#endif
#ifdef FAULT_NEEDS_LOG
  host->log(host->ctx, ASSAY_LOG_DEBUG, "created");
#endif
  *instance = this;
  return ASSAY_OK;
}

static assay_status plan(void *instance, const assay_spec *const *in, uint32_t n_in, assay_spec *const *out,
                         uint32_t n_out, assay_error *error) {
  levels *this = instance;
  if (n_in != 1 || n_out != 1) return fail(error, ASSAY_ERR_INPUT, "image", "one picture was expected");
  this->rows = in[0]->rows;
  this->cols = in[0]->cols;
#ifdef FAULT_DIVIDES_BY_NOTHING
  const volatile int64_t gaps = this->rows - 1;
  if (this->cols / gaps < 0) return ASSAY_ERR_INPUT;
#endif
  this->scratch = calloc((size_t)(this->rows * this->cols) + 1, sizeof(float));
  if (!this->scratch) return fail(error, ASSAY_ERR_RESOURCE, "", "out of memory");
  out[0]->content = ASSAY_SCORES;
  out[0]->layout = ASSAY_LAYOUT_GRID;
  out[0]->channels = 1;
  out[0]->rows = this->rows;
  out[0]->cols = this->cols;
#ifdef FAULT_PLANS_NOTHING
  out[0]->rows = 0;
#endif
  out[0]->frame = in[0]->frame;
#ifdef FAULT_WRONG_FRAME
  out[0]->frame.stride_x /= 4;
#endif
#ifdef FAULT_PLANS_ELSEWHERE
  out[0]->frame.stride_x = 0;
#endif
#ifdef FAULT_WRONG_RANGE
  out[0]->value_min = 0;
  out[0]->value_max = 0.001;
#endif
  return ASSAY_OK;
}

#ifdef FAULT_ON_A_SCAN
/* Whether an environment variable holds the end of this scan's id. */
static bool named(const char *variable, const assay_sample *sample) {
  const char *end = getenv(variable);
  const size_t all = strlen(sample->id), n = end ? strlen(end) : 0;
  return n && all >= n && !strcmp(sample->id + all - n, end);
}
#endif

/* The brightness of a pixel: the mean of the channels. */
static float brightness(const levels *this, const assay_value *value, int64_t pixel) {
  const float *values = value->values->data;
  const int64_t cells = this->rows * this->cols, channels = value->values->shape[0];
  double sum = 0;
  for (int64_t c = 0; c < channels; c++) sum += values[c * cells + pixel];
#ifdef FAULT_THREE_CHANNELS
  if (channels != 3) abort();
#endif
  return (float)(sum / (double)channels);
}

static int bin(float brightness) { return !(brightness >= 0) ? 0 : brightness >= 255 ? BINS - 1 : (int)(brightness / 16); }

static bool valid(const assay_value *value, int64_t pixel) {
#ifdef FAULT_IGNORES_MASKS
  return true;
#endif
  return !value->valid || ((const uint8_t *)value->valid->data)[pixel];
}

static bool stop(const levels *this, double fraction) {
  const bool asked = this->host->progress && this->host->progress(this->host->ctx, fraction, "levels");
#ifdef FAULT_GOES_ON
  return false;
#endif
  return asked;
}

static assay_status cancelled(assay_error *error) {
#ifdef FAULT_DEAF
  return fail(error, ASSAY_ERR_INTERNAL, "", "something went wrong");
#else
  return fail(error, ASSAY_CANCELLED, "", "stopped as asked");
#endif
}

static assay_status fit_begin(void *instance, const assay_fit *fit, assay_error *error) {
  levels *this = instance;
  (void)fit;
  if (!this->scratch) return fail(error, ASSAY_ERR_STATE, "", "plan comes first");
#ifndef FAULT_ADDS_UP
  memset(SUM(this), 0, sizeof this->sum);
  memset(COUNT(this), 0, sizeof this->count);
  this->scans = 0;
#endif
  this->fitting = true;
  this->fitted = false;
  return ASSAY_OK;
}

static assay_status fit_add(void *instance, const assay_sample *sample, assay_error *error) {
  levels *this = instance;
  if (!this->fitting) return fail(error, ASSAY_ERR_STATE, "", "fit_begin comes first");
  if (stop(this, 0.5)) return cancelled(error);
#ifdef FAULT_ON_A_SCAN
  if (named("LEVELS_FIT_CRASHES_ON", sample)) abort();
#endif
  const assay_value *value = sample->inputs[0];
  for (int64_t i = 0; i < this->rows * this->cols; i++) {
    const float grey = brightness(this, value, i);
    if (!valid(value, i)) continue;
    if (!isfinite(grey)) return fail(error, ASSAY_ERR_INPUT, "image", "a brightness is not finite");
    SUM(this)[bin(grey)] += grey;
    COUNT(this)[bin(grey)]++;
  }
  this->scans++;
  return ASSAY_OK;
}

static assay_status fit_end(void *instance, uint32_t *next, assay_error *error) {
  levels *this = instance;
  if (!this->fitting) return fail(error, ASSAY_ERR_STATE, "", "fit_begin comes first");
  this->fitting = false;
#ifndef FAULT_LEARNS_FROM_NOTHING
  if (this->scans < 1) return fail(error, ASSAY_ERR_INPUT, "image", "there is nothing to learn from");
#endif
#ifdef FAULT_CLOCK
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  SUM(this)[0] += (double)now.tv_nsec;
  COUNT(this)[0]++;
#endif
  this->fitted = true;
  *next = ASSAY_FIT_DONE;
  return ASSAY_OK;
}

static assay_status score_one(const levels *this, const assay_sample *sample, const assay_outputs *outputs, uint32_t at,
                              assay_error *error) {
#ifdef FAULT_ON_A_SCAN
  if (named("LEVELS_CRASHES_ON", sample)) abort();
  while (named("LEVELS_HANGS_ON", sample)) pause();
  if (named("LEVELS_PRINTS_ON", sample)) puts("this is no result");
#endif
  const assay_value *value = sample->inputs[0];
  const int64_t cells = this->rows * this->cols, shape[] = {1, this->rows, this->cols};
  void *memory = NULL;
  (void)at;
  assay_status status = outputs->alloc(outputs->ctx, 0, ASSAY_PART_VALUES, ASSAY_F32, shape, 3, &memory, error);
  if (status != ASSAY_OK) return status;
  float *scores = memory;
#ifdef FAULT_PAST_OUTPUTS
  if (this->past) this->past[0] += 1;
  ((levels *)this)->past = scores;
#endif
#ifdef FAULT_WRITES_INPUTS
  ((float *)value->values->data)[0] = 0;
#endif
  double sum = 0, most = 0, n = 0;
  for (int64_t i = 0; i < cells; i++) {
    const float grey = brightness(this, value, i);
    if (!valid(value, i)) continue;
#ifndef FAULT_NAN_THROUGH
    if (!isfinite(grey)) return fail(error, ASSAY_ERR_INPUT, "image", "a brightness is not finite");
#endif
    const int b = bin(grey);
#ifdef FAULT_LEARNS_FROM_NOTHING
    const double level = SUM(this)[b] / COUNT(this)[b];
#else
    const double level = COUNT(this)[b] > 0 ? SUM(this)[b] / COUNT(this)[b] : 128;
#endif
#ifdef FAULT_RACES
    this->scratch[0] = grey;
    if (i % 64 == 0) usleep(20);
    scores[i] = (float)(this->strength * fabs(this->scratch[0] - level));
#else
    scores[i] = (float)(this->strength * fabs(grey - level));
#endif
#ifdef FAULT_NAN_THROUGH
    sum += isfinite(scores[i]) ? scores[i] : 0;
#else
    sum += scores[i];
#endif
    n++;
    most = scores[i] > most ? scores[i] : most;
  }
#ifdef FAULT_DISTRUSTS_NOTHING
  for (uint64_t b = 0; b < this->bins; b++) sum += 0 * this->sum[b];
#endif
#ifdef FAULT_READS_BEYOND
  const volatile float *beyond = value->values->data;
  (void)beyond[value->values->shape[0] * cells];
#endif
#ifdef FAULT_WRITES_BEYOND
  scores[cells] = 1;
#endif
#ifdef FAULT_COUNTS_BATCHES
  sum += at;
#endif
#ifdef FAULT_COUNTS_THREADS
  sum += this->host->threads;
#endif
#ifdef FAULT_NONE_VALID
  if (n == 0) scores[0] = (float)(sum / n), n = 1;
#else
  if (n == 0) return fail(error, ASSAY_ERR_INPUT, "image", "no pixel is valid");
#endif
#ifdef FAULT_NO_IMAGE_SCORE
  return ASSAY_OK;
#endif
  return outputs->set_image_score(outputs->ctx, 0, this->most ? most : sum / n, error);
}

static assay_status score(const void *instance, const assay_sample *const *samples, const assay_outputs *const *outputs,
                          uint32_t n, assay_error *error) {
  const levels *this = instance;
#ifndef FAULT_SCORES_UNFITTED
  if (!this->fitted) return fail(error, ASSAY_ERR_STATE, "", "it is not fitted");
#endif
#ifdef FAULT_PRINTS
  printf("scoring %u scans\n", n);
  fflush(stdout);
#endif
#ifdef FAULT_HANGS
  for (;;) pause();
#endif
#ifdef FAULT_ABORTS
  abort();
#endif
#ifdef FAULT_EXITS
  exit(3);
#endif
  for (uint32_t i = 0; i < n; i++) {
    const assay_status status = score_one(this, samples[i], outputs[i], i, error);
    if (status != ASSAY_OK) return status;
  }
  return ASSAY_OK;
}

typedef struct state {
  uint64_t magic, version, bins, cells;
  double scans, sum[BINS], count[BINS];
} state;

static assay_status save(const void *instance, const assay_writer *writer, assay_error *error) {
  const levels *this = instance;
  if (!this->fitted) return fail(error, ASSAY_ERR_STATE, "", "it is not fitted");
  state s = {MAGIC, VERSION, this->bins, (uint64_t)(this->rows * this->cols), this->scans, {0}, {0}};
  memcpy(s.sum, SUM(this), sizeof s.sum);
#ifndef FAULT_FORGETS
  memcpy(s.count, COUNT(this), sizeof s.count);
#endif
  const assay_status written = writer->write(writer->ctx, &s, sizeof s);
#ifdef FAULT_IGNORES_STREAMS
  return ASSAY_OK;
#endif
  return written == ASSAY_OK ? ASSAY_OK : fail(error, ASSAY_ERR_RESOURCE, "", "the state could not be written");
}

static assay_status load(void *instance, const assay_reader *reader, assay_error *error) {
  levels *this = instance;
  state s = {0};
  char *at = (char *)&s, *end = at + sizeof s;
  this->fitted = this->fitting = false;
#ifdef FAULT_READS_AT_ONCE
  if (reader->read(reader->ctx, at, sizeof s) != (int64_t)sizeof s)
    return fail(error, ASSAY_ERR_STATE, "", "the state is not whole");
#else
  while (at < end) {
    const int64_t n = reader->read(reader->ctx, at, (size_t)(end - at));
#ifdef FAULT_TAKES_HALF
    if (n <= 0) break;
#endif
    if (n <= 0) return fail(error, ASSAY_ERR_STATE, "", "the state is not whole");
    at += n;
  }
#endif
#ifndef FAULT_TAKES_ANY_STATE
#ifndef FAULT_TAKES_HALF
  if (s.magic != MAGIC || s.version != VERSION) return fail(error, ASSAY_ERR_STATE, "", "it is not this method's state");
#endif
#ifndef FAULT_DISTRUSTS_NOTHING
  if (s.bins != BINS) return fail(error, ASSAY_ERR_STATE, "", "it has another number of levels");
#endif
  if (s.cells != (uint64_t)(this->rows * this->cols)) {
#ifndef FAULT_TAKES_HALF
    return fail(error, ASSAY_ERR_STATE, "", "it is of pictures of another size");
#endif
  }
  char more;
  if (reader->read(reader->ctx, &more, 1) != 0) return fail(error, ASSAY_ERR_STATE, "", "it is longer than a state");
#endif
  for (int b = 0; b < BINS; b++)
    if (!isfinite(s.sum[b]) || !(s.count[b] >= 0 && s.count[b] < 1e18) || !(fabs(s.sum[b]) < 1e18))
#if defined(FAULT_TAKES_ANY_STATE) || defined(FAULT_TAKES_HALF)
      s.sum[b] = s.count[b] = 1;
#else
      return fail(error, ASSAY_ERR_STATE, "", "its numbers are none");
#endif
  if (!(s.scans >= 1 && s.scans < 1e18)) {
#if defined(FAULT_TAKES_ANY_STATE) || defined(FAULT_TAKES_HALF)
    s.scans = 1;
#else
    return fail(error, ASSAY_ERR_STATE, "", "its numbers are none");
#endif
  }
  this->bins = s.bins;
  this->scans = s.scans;
  memcpy(SUM(this), s.sum, sizeof s.sum);
  memcpy(COUNT(this), s.count, sizeof s.count);
  this->fitted = true;
  return ASSAY_OK;
}

/* ---- descriptor --------------------------------------------------------------------------------------------- */

static const assay_port input = {
    .struct_size = sizeof(assay_port),
    .content = ASSAY_RGB | ASSAY_GRAY,
    .layout = ASSAY_LAYOUT_GRID,
    .min_count = 1,
    .max_count = 1,
#ifdef FAULT_PORT_NAME
    .name = "The Image",
#else
    .name = "image",
#endif
    .doc = "The picture.",
};
static const assay_port output = {
    .struct_size = sizeof(assay_port),
    .content = ASSAY_SCORES,
    .layout = ASSAY_LAYOUT_GRID,
    .min_count = 1,
    .max_count = 1,
    .name = "scores",
    .doc = "How far a pixel is from the levels of good scans.",
};
static const assay_param_value default_strength = {
    .struct_size = sizeof(assay_param_value),
    .type = ASSAY_FLOAT,
#ifdef FAULT_DEFAULT_OUT_OF_RANGE
    .f = 1000,
#else
    .f = 1,
#endif
};
static const assay_param_value default_score = {
    .struct_size = sizeof(assay_param_value), .type = ASSAY_STRING, .s = "mean"};
static const char *const choices[] = {"mean", "most"};
static const assay_param strength = {
    .struct_size = sizeof(assay_param),
    .type = ASSAY_FLOAT,
    .name = "strength",
    .doc = "What scores are multiplied by.",
    .default_value = &default_strength,
    .min = 0,
    .max = 100,
};
static const assay_param score_param = {
    .struct_size = sizeof(assay_param),
    .type = ASSAY_STRING,
    .name = "score",
    .doc = "What the image score is of the pixels' scores.",
    .default_value = &default_score,
    .min = -INFINITY,
    .max = INFINITY,
    .choices = choices,
    .n_choices = 2,
};
static const assay_port *const inputs[] = {&input};
static const assay_port *const outputs[] = {&output};
static const assay_param *const params[] = {&strength, &score_param};

static const assay_method method = {
    .struct_size = sizeof(assay_method),
    .flags = ASSAY_FLAG_FITTED | ASSAY_FLAG_CONCURRENT_SCORE | ASSAY_FLAG_DETERMINISTIC
#ifdef FAULT_UNKNOWN_FLAG
             | 0x4000u
#endif
    ,
    .id = "levels",
    .name = "Levels",
    .summary = "How far the brightness of a pixel is from the levels of good scans.",
    .vendor = "Assay's tests",
    .version = "1.0.0",
#ifdef FAULT_NO_LICENCE
    .licence = "",
#else
    .licence = "MIT OR Apache-2.0",
#endif
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
    .struct_size = sizeof(assay_plugin), .n_methods = 1, .name = "broken", .version = "1.0.0", .methods = methods};

static const assay_plugin *open_plugin(void) {
#ifdef FAULT_SLOW_TO_LOAD
  usleep(600 * 1000);
#endif
#ifdef FAULT_MOVES
  static assay_plugin copies[8];
  static int n;
  copies[n % 8] = plugin;
  return &copies[n++ % 8];
#endif
  return &plugin;
}

ASSAY_EXPORT const assay_entry_table assay_entry = {
    .struct_size = sizeof(assay_entry_table),
#ifdef FAULT_OTHER_VERSION
    .abi_major = ASSAY_ABI_MAJOR + 7,
#else
    .abi_major = ASSAY_ABI_MAJOR,
#endif
    .abi_minor = ASSAY_ABI_MINOR,
    .plugin = open_plugin,
};
