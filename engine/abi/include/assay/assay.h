/* assay.h: the C ABI between the Assay host and its method plugins.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A plugin is a dynamic library named libassay_<name>.so (libassay_<name>.dylib, assay_<name>.dll) that exports
 * ONE symbol, the constant `assay_entry`. Its first three words can be read before anything is called.
 *
 * Versions
 *   A host of version 1.n loads plugins that were built for 1.0 to 1.n. A new minor version adds fields at the ends of
 *   tables, values of enumerations and flags, and changes nothing that there is: a plugin that was built with this header
 *   keeps working. A plugin that uses something of 1.n is not loaded by older hosts; what is optional is better asked for
 *   by get_extension.
 *
 * Conventions
 *   - Every table begins with `struct_size`, the size its maker was compiled with. Arrays hold pointers, so that
 *     tables may grow at their ends.
 *   - Strings are UTF-8 and NUL-terminated. A string or table that a descriptor points to lives as long as the library.
 *   - Nobody frees what the other side allocated. Inputs are borrowed for the duration of a call and read-only;
 *     outputs are allocated by the host through assay_outputs.alloc.
 *   - Numbers that leave a plugin are finite where they are valid. Tensors are contiguous, row-major, in CPU memory, aligned for their type.
 *   - A function that can fail returns an assay_status and, where it is not ASSAY_OK, fills the caller's assay_error:
 *     its code, and a message.
 *   - Inputs of fit_add and score have the shapes that plan was given (of a cloud any number of points).
 *     No exception or panic may cross the boundary.
 *
 * Thread tags, on every function
 *   [exclusive]   no other call on the same instance runs at the same time (calls may come from different threads);
 *   [concurrent]  may run at the same time as other concurrent calls on the same instance.
 *
 * Life of an instance
 *   create -> plan -> fit_begin(pass 0) -> fit_add ... -> fit_end -> [fit_begin(pass 1) ...] -> score ... -> destroy
 *   create -> plan -> load -> score ... -> destroy
 *   create -> plan -> load -> fit_begin(pass k, resumed) ...        a fit that goes on after its pass k - 1
 *   Pass 0 begins anew, whatever was learned before; a failed or cancelled fit is fitted anew or destroyed.
 *   A long pass that was interrupted begins anew and finds there what it had the host keep (assay_host.kept).
 *   save may be called after any fit_end. A method without fit functions is ready to score after plan.
 */
#ifndef ASSAY_ASSAY_H
#define ASSAY_ASSAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASSAY_ABI_MAJOR 1u
#define ASSAY_ABI_MINOR 0u

#if defined(_WIN32)
#define ASSAY_EXPORT __declspec(dllexport)
#else
#define ASSAY_EXPORT __attribute__((visibility("default")))
#endif

/* ---- status and errors ------------------------------------------------------------------------------------ */

typedef int32_t assay_status;
#define ASSAY_OK 0               /* done */
#define ASSAY_ERR_PARAMETER 1    /* a parameter is wrong: the recipe's author can mend it; subject = parameter */
#define ASSAY_ERR_INPUT 2        /* an input does not fit: subject = port */
#define ASSAY_ERR_STATE 3        /* called out of order, or a saved state that is not this method's */
#define ASSAY_ERR_RESOURCE 4     /* memory, disk, or a host service that is not there */
#define ASSAY_ERR_INTERNAL 5     /* a defect of the plugin (a caught panic, for example) */
#define ASSAY_ERR_UNSUPPORTED 6  /* a valid request that this method does not offer */
#define ASSAY_CANCELLED 7        /* stopped because the host asked; not a failure */

/* Caller-owned; the callee writes NUL-terminated, truncated UTF-8. */
typedef struct assay_error {
  uint32_t struct_size;
  int32_t code;                  /* the returned status */
  char subject[128];             /* what it is about: a parameter, a port, a file; may be empty */
  char message[1024];            /* what is wrong and what to do, one sentence or two */
} assay_error;

/* ---- tensors and what travels between steps --------------------------------------------------------------- */

#define ASSAY_F32 1u
#define ASSAY_F64 2u
#define ASSAY_U8 3u
#define ASSAY_I64 4u

#define ASSAY_DEVICE_CPU 1u      /* the value DLPack uses */

/* A borrowed view. */
typedef struct assay_tensor {
  uint32_t struct_size;
  uint32_t dtype;                /* ASSAY_F32, ... */
  uint32_t device;               /* ASSAY_DEVICE_CPU */
  uint32_t ndim;
  const int64_t *shape;          /* ndim extents */
  const void *data;
} assay_tensor;

/* Contents; a port accepts a set of them, a value has one. */
#define ASSAY_RGB 1u             /* [3,h,w] f32, 0..255 */
#define ASSAY_GRAY 2u            /* [1,h,w] f32, 0..255 */
#define ASSAY_XYZ 4u             /* [3,h,w] f32, metres in the camera's frame: x right, y down, z away; 0,0,0 where invalid */
#define ASSAY_DEPTH 8u           /* [1,h,w] f32, metres */
#define ASSAY_POINTS 16u         /* positions [N,3] f32, metres */
#define ASSAY_FEATURES 32u       /* [C,h,w] or [N,C] f32 */
#define ASSAY_SCORES 64u         /* [1,h,w] or [N,1] f32; higher = more anomalous */

#define ASSAY_LAYOUT_GRID 1u     /* values [C,h,w], valid [h,w] */
#define ASSAY_LAYOUT_CLOUD 2u    /* values [N,C], valid [N], positions [N,3] */

/* Where a grid lies in the scan's native pixels: the centre of column j is at x = offset_x + stride_x*(j + 1/2) - 1/2. */
typedef struct assay_frame {
  double offset_x, offset_y, stride_x, stride_y;
} assay_frame;

/* The shape of a value before there is one. Of a cloud `rows` is -1 (known at run time) and `cols` is 1. */
typedef struct assay_spec {
  uint32_t struct_size;
  uint32_t port;                 /* index into the method's inputs or outputs */
  uint32_t content;              /* one of ASSAY_RGB ... ASSAY_SCORES */
  uint32_t layout;               /* one of ASSAY_LAYOUT_* */
  int64_t channels, rows, cols;
  int64_t native_rows, native_cols; /* of the scan */
  double value_min, value_max;   /* guaranteed range of the values; NaN where there is none */
  assay_frame frame;             /* of a grid */
  const char *name;              /* of an input: "step.output" or the sensor's name, for messages; of an output: NULL */
} assay_spec;

/* One value of one scan. */
typedef struct assay_value {
  uint32_t struct_size;
  uint32_t port;
  uint32_t content;
  uint32_t layout;
  const assay_tensor *values;
  const assay_tensor *valid;     /* u8, 1 = valid; NULL = all valid. Invalid cells are finite: 0, what was seen up to two
                                  * cells beyond the part, or features that the step before wrote there all the
                                  * same; they are neither learned nor scored */
  const assay_tensor *positions; /* clouds: [N,3] f32 metres; else NULL */
  assay_frame frame;
  double image_score;            /* of scores; NaN otherwise */
} assay_value;

/* One scan as a step sees it: its inputs, ordered by port, then as the recipe lists them. */
typedef struct assay_sample {
  uint32_t struct_size;
  uint32_t n_inputs;
  uint64_t index;                /* position in the running fit or score batch */
  const char *id;                /* the scan's; in a fit the same for each angle that it is learned at, which come one after another */
  const assay_value *const *inputs;
} assay_sample;

/* Where a step puts its results for one scan; owned by the host. */
#define ASSAY_PART_VALUES 0u     /* grid [C,h,w] as planned, or cloud [N,C] */
#define ASSAY_PART_VALID 1u      /* optional, u8 [h,w] or [N]; without it all is valid */
#define ASSAY_PART_POSITIONS 2u  /* clouds: [N,3] f32 */
typedef struct assay_outputs {
  uint32_t struct_size;
  uint32_t n_outputs;
  void *ctx;
  /* [exclusive] Zeroed memory for one part of output `port`; written before score returns. Each part once. */
  assay_status (*alloc)(void *ctx, uint32_t port, uint32_t part, uint32_t dtype, const int64_t *shape, uint32_t ndim,
                        void **data, assay_error *error);
  /* [exclusive] The image score of a scores output; required for each of them. */
  assay_status (*set_image_score)(void *ctx, uint32_t port, double score, assay_error *error);
} assay_outputs;

/* ---- streams ------------------------------------------------------------------------------------------------ */

typedef struct assay_writer {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  /* [exclusive] Takes all `len` bytes or fails. */
  assay_status (*write)(void *ctx, const void *data, size_t len);
} assay_writer;

typedef struct assay_reader {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  /* [exclusive] Reads at most `len` bytes; returns how many, 0 at the end, -1 on failure. Short reads are ordinary. */
  int64_t (*read)(void *ctx, void *data, size_t len);
} assay_reader;

/* ---- host services ------------------------------------------------------------------------------------------ */

#define ASSAY_LOG_ERROR 1u
#define ASSAY_LOG_WARN 2u
#define ASSAY_LOG_INFO 3u
#define ASSAY_LOG_DEBUG 4u

typedef struct assay_named_tensor {
  uint32_t struct_size;
  uint32_t reserved;
  const char *name;
  const assay_tensor *tensor;    /* f32 */
} assay_named_tensor;

/* ONNX inference on the host's one runtime. */
typedef struct assay_inference {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  /* [concurrent] Loads an ONNX model from memory; `label` names it in messages. */
  assay_status (*open)(void *ctx, const void *onnx, size_t len, const char *label, void **session, assay_error *error);
  /* [concurrent] Runs it. `emit` is called once an output, on the calling thread; its tensor is borrowed for that call. */
  assay_status (*run)(void *ctx, void *session, const assay_named_tensor *const *inputs, uint32_t n_inputs,
                      void (*emit)(void *emit_ctx, const char *name, const assay_tensor *tensor), void *emit_ctx,
                      assay_error *error);
  /* [exclusive] */
  void (*close)(void *ctx, void *session);
} assay_inference;

/* What the host offers one instance; outlives it. Every function pointer and table may be NULL: do without. */
typedef struct assay_host {
  uint32_t struct_size;
  uint32_t abi_major, abi_minor;
  uint32_t threads;              /* threads parallel_for may use; a hint */
  uint64_t seed;                 /* the only source of randomness a deterministic method has; differs from step to step */
  const char *name, *version;    /* of the host program */
  void *ctx;
  /* [concurrent] Later additions, by id; NULL where unknown. */
  const void *(*get_extension)(const struct assay_host *host, const char *id);
  /* [concurrent] */
  void (*log)(void *ctx, uint32_t level, const char *message);
  /* [concurrent] Calls body(arg, i) once for each i in 0..n on the host's threads; returns when all are done. */
  void (*parallel_for)(void *ctx, uint64_t n, void (*body)(void *arg, uint64_t i), void *arg);
  /* [concurrent] `fraction` 0..1 of the running pass or call (negative: unknown). Returns non-zero when the host wants the
   * work to stop: the method then returns ASSAY_CANCELLED soon. */
  int32_t (*progress)(void *ctx, double fraction, const char *message);
  /* [concurrent] A folder for temporary files, removed by the host; NULL where there is none. */
  const char *(*scratch)(void *ctx);
  const assay_inference *inference;
  /* What a long pass has come to, so that an interruption does not lose it. In fit_end only.
   * [exclusive] keep: `data` takes the place of what this pass of this fit has kept before, and survives the end of the
   * program. The host forgets it when the whole fit has ended well. */
  assay_status (*keep)(void *ctx, const void *data, size_t len, assay_error *error);
  /* [exclusive] kept: calls `emit` once with what the same pass kept in an earlier run of the same fit (recipe, seed, scans
   * and libraries), and not at all where there is nothing. The bytes are borrowed for that call. */
  assay_status (*kept)(void *ctx, void (*emit)(void *emit_ctx, const void *data, size_t len), void *emit_ctx,
                       assay_error *error);
} assay_host;

/* ---- descriptors -------------------------------------------------------------------------------------------- */

typedef struct assay_port {
  uint32_t struct_size;
  uint32_t content;              /* inputs: the set it accepts; outputs: the one it makes */
  uint32_t layout;               /* inputs: the set it accepts; outputs: the set it may make (plan decides) */
  uint32_t min_count, max_count; /* inputs: how many values may be bound here; max 0 = any number. Outputs: 1, 1 */
  uint32_t reserved;
  const char *name, *doc;
} assay_port;

#define ASSAY_BOOL 1u
#define ASSAY_INT 2u
#define ASSAY_FLOAT 3u
#define ASSAY_STRING 4u
#define ASSAY_LIST 0x100u        /* ASSAY_LIST | one of the above: a list of it */

typedef struct assay_param_value {
  uint32_t struct_size;
  uint32_t type;
  const char *name;              /* NULL inside lists and defaults */
  int64_t i;                     /* ASSAY_BOOL (0 or 1), ASSAY_INT */
  double f;                      /* ASSAY_FLOAT */
  const char *s;                 /* ASSAY_STRING */
  const struct assay_param_value *const *items; /* ASSAY_LIST */
  uint64_t n_items;
} assay_param_value;

typedef struct assay_param {
  uint32_t struct_size;
  uint32_t type;
  const char *name, *doc;
  const char *unit;              /* NULL: none; "path": a file, in a recipe relative to its folder, here relative to the working directory */
  const assay_param_value *default_value;
  double min, max;               /* of numbers, inclusive; of a list's items; -INFINITY, INFINITY: unbounded */
  const char *const *choices;    /* of strings: the only values; NULL: any */
  uint64_t n_choices;
} assay_param;

/* ---- methods ------------------------------------------------------------------------------------------------ */

#define ASSAY_FLAG_FITTED 1u           /* has fit functions and must be fitted or loaded before score */
#define ASSAY_FLAG_CONCURRENT_SCORE 2u /* score is [concurrent]; without it [exclusive] */
#define ASSAY_FLAG_DETERMINISTIC 4u    /* same inputs, parameters and seed: same bits, at any thread count */
#define ASSAY_FLAG_OWN_THREADS 8u      /* starts threads of its own */
#define ASSAY_FLAG_ONE_FIT 16u         /* fits for long: a detector is fitted once, without fold 1, which sets its scale */

typedef struct assay_fit {
  uint32_t struct_size;
  uint32_t pass;                 /* 0, 1, ... */
  uint32_t fold;                 /* 0 = fit on all training scans; 1..n_folds = fit that leaves fold `fold` out */
  uint32_t n_folds;
  uint64_t n_samples;            /* fit_add calls this pass will bring; every pass brings the same scans in the same order */
  uint32_t resumed;              /* 1 = the first pass after load of an interrupted fit */
  uint32_t reserved;
} assay_fit;

#define ASSAY_FIT_DONE 0u
#define ASSAY_FIT_ANOTHER_PASS 1u

typedef struct assay_method {
  uint32_t struct_size;
  uint32_t flags;
  const char *id;                /* [a-z0-9_-]+, what a recipe names */
  const char *name, *summary, *vendor, *version, *licence;
  const char *paper;             /* citation; "" where there is none */
  const char *deviations;        /* from the paper; "" where there is none */
  uint32_t n_inputs, n_outputs, n_params, reserved;
  const assay_port *const *inputs;
  const assay_port *const *outputs;
  const assay_param *const *params;

  /* [concurrent] Every parameter of the descriptor is given, in its order and of its type. The host has compared values with
   * ranges and choices; a method refuses what is wrong all the same, with ASSAY_ERR_PARAMETER and the parameter's name as
   * subject. The values live for the call. */
  assay_status (*create)(const struct assay_method *method, const assay_host *host,
                         const assay_param_value *const *params, uint32_t n_params, void **instance, assay_error *error);
  /* [exclusive] Input shapes in, output shapes out; the host gives one spec an output to fill, `port` set.
   * Once an instance. */
  assay_status (*plan)(void *instance, const assay_spec *const *inputs, uint32_t n_inputs, assay_spec *const *outputs,
                       uint32_t n_outputs, assay_error *error);
  /* [exclusive] Starts pass `fit->pass`. NULL for a method that is not fitted (so are fit_add, fit_end, save, load). */
  assay_status (*fit_begin)(void *instance, const assay_fit *fit, assay_error *error);
  /* [exclusive] One training scan. */
  assay_status (*fit_add)(void *instance, const assay_sample *sample, assay_error *error);
  /* [exclusive] Ends the pass; `next` is ASSAY_FIT_DONE or ASSAY_FIT_ANOTHER_PASS. */
  assay_status (*fit_end)(void *instance, uint32_t *next, assay_error *error);
  /* [concurrent where flagged] n samples, n outputs. Results do not depend on how scans are batched. */
  assay_status (*score)(const void *instance, const assay_sample *const *samples, const assay_outputs *const *outputs,
                        uint32_t n, assay_error *error);
  /* [exclusive] Writes the state; the same state gives the same bytes. */
  assay_status (*save)(const void *instance, const assay_writer *writer, assay_error *error);
  /* [exclusive] Reads a state that save wrote for an instance with the same parameters. One of other shapes, a part of one, and
   * what is none is an error. */
  assay_status (*load)(void *instance, const assay_reader *reader, assay_error *error);
  /* [exclusive] Also after a failed plan, fit or load. */
  void (*destroy)(void *instance);
  /* [concurrent] Later additions, by id; NULL where unknown. May be NULL. */
  const void *(*get_extension)(const struct assay_method *method, const char *id);
} assay_method;

typedef struct assay_plugin {
  uint32_t struct_size;
  uint32_t n_methods;
  const char *name, *version;
  const assay_method *const *methods;
  /* [concurrent] May be NULL. */
  const void *(*get_extension)(const struct assay_plugin *plugin, const char *id);
} assay_plugin;

typedef struct assay_entry_table {
  uint32_t struct_size;
  uint32_t abi_major, abi_minor;
  uint32_t reserved;
  /* [concurrent] The plugin's descriptors; the same pointer on every call; NULL where the plugin cannot work at all. */
  const assay_plugin *(*plugin)(void);
} assay_entry_table;

/* What a plugin defines:  ASSAY_EXPORT const assay_entry_table assay_entry = { ... }; */
extern ASSAY_EXPORT const assay_entry_table assay_entry;

#ifdef __cplusplus
}
#endif
#endif
