/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine-private.h"

G_BEGIN_DECLS

/* A workflow like that of a quick backup, in a world of a few facts. The world outlives a crash;
 * what it must look like in the end is in toy_check_world(). */
typedef struct
{
  gboolean overlays;
  gboolean frozen;
  gboolean stopped;
  gboolean point;
  gboolean recorded;
  gboolean image;
  gboolean uploaded;
  gboolean busy;                /* a step is at work */
} World;

typedef enum
{
  MOMENT_BEFORE,                /* the step has begun and done nothing yet */
  MOMENT_AFTER,                 /* the step has done its work and not returned yet */
} Moment;

typedef struct
{
  const char *step;             /* (nullable): no fault */
  Moment      moment;
  guint       times;            /* how often it still happens */
} Fault;

typedef struct
{
  World     *worlds;            /* guest "g0" has the first one, "g1" the next */
  Engine    *engine;
  Journal   *journal;

  Fault      faults[2];         /* a step fails */
  Fault      cancel;            /* somebody asks for the end */
  guint      cancel_at_write;   /* the same, while the journal is written; from 1 */
  guint      crash_at;          /* a point in time at which the process ends, from 1 */
  guint      refuse_from;       /* the first write that the journal refuses, from 1 */
  guint      refuse_times;

  guint      n_moments;
  guint      n_writes;
  guint      n_steps;
  guint      n_windows;         /* guests that this process, not one before it, has stopped */
  GString   *history;           /* (nullable): the steps begun, each with a blank behind it */
} Toy;

#define TOY_CRASHED 42

extern const Workflow toy_workflow;

/* Opens the journal at @path and loads what is there. */
void       toy_start        (Toy *self, const char *path);
void       toy_stop         (Toy *self);
/* NULL when the journal refuses. */
Operation *toy_submit       (Toy *self, guint guest, const char *key);
/* Until each operation is over, or open and at rest. */
void       toy_run          (Toy *self);
void       toy_check_world  (const World *world, OperationState state);
/* Nothing is in the way of another operation of @guest. */
void       toy_check_again  (Toy *self, guint guest);

G_END_DECLS
