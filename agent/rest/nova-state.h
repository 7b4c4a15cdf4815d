/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/operation.h>

G_BEGIN_DECLS

/* The states of a server: pure functions from what QEMU and the engine say. */

typedef enum
{
  NOVA_POWER_NOSTATE   = 0,
  NOVA_POWER_RUNNING   = 1,
  NOVA_POWER_PAUSED    = 3,
  NOVA_POWER_SHUTDOWN  = 4,
  NOVA_POWER_CRASHED   = 6,
  NOVA_POWER_SUSPENDED = 7,
} NovaPower;

typedef struct
{
  const char *vm_state;         /* "active", "paused", "suspended", "stopped", "error" */
  const char *task_state;       /* (nullable): "migrating", "rebuilding", or what an
                                 * image is about */
  NovaPower   power_state;
} NovaState;

/* @run_state: (nullable): QEMU's; NULL for a peer without a CPU */
NovaState   nova_state_of_guest    (gboolean is_attached, const char *run_state);
/* What the operation of @kind does to the server; NULL for nothing. @step: (nullable) */
const char *nova_task_of_operation (const char *kind, OperationState state, const char *step);
/* "ACTIVE", ...: what Nova makes of them. */
const char *nova_state_to_status   (const NovaState *state);
/* Whether Nova takes an image of a server in this vm_state. */
gboolean    nova_state_has_image   (const NovaState *state);

G_END_DECLS
