/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what state a server is in. A task that succeeds goes through these states:
 *
 *   image_snapshot_pending -> image_snapshot -> image_pending_upload -> image_uploading -> none
 *
 *   before the point          the point         sources are opened      the bytes go, and the
 *                                                                       overlays are folded back
 *
 * One that fails goes to the last of them from wherever it is, for what it clears up; one that a
 * restart interrupted opens its sources again. A rebuild is "rebuilding" from its first step to its
 * last. */

#include "nova-state.h"

#include <string.h>

static const char pending[] = "image_snapshot_pending";
static const char at_point[] = "image_snapshot";
static const char pending_upload[] = "image_pending_upload";
static const char uploading[] = "image_uploading";
static const char rebuilding[] = "rebuilding";

static const struct { const char *run_state; NovaState state; } run_states[] = {
  { "running",        { "active",    NULL,        NOVA_POWER_RUNNING   } },
  { "paused",         { "paused",    NULL,        NOVA_POWER_PAUSED    } },
  { "prelaunch",      { "paused",    NULL,        NOVA_POWER_PAUSED    } },
  { "debug",          { "paused",    NULL,        NOVA_POWER_PAUSED    } },
  { "io-error",       { "paused",    NULL,        NOVA_POWER_PAUSED    } },
  { "watchdog",       { "paused",    NULL,        NOVA_POWER_PAUSED    } },
  { "suspended",      { "suspended", NULL,        NOVA_POWER_SUSPENDED } },
  { "shutdown",       { "stopped",   NULL,        NOVA_POWER_SHUTDOWN  } },
  { "guest-panicked", { "stopped",   NULL,        NOVA_POWER_CRASHED   } },
  { "internal-error", { "stopped",   NULL,        NOVA_POWER_CRASHED   } },
  { "inmigrate",      { "active",    "migrating", NOVA_POWER_PAUSED    } },
  { "finish-migrate", { "active",    "migrating", NOVA_POWER_PAUSED    } },
  { "postmigrate",    { "active",    "migrating", NOVA_POWER_PAUSED    } },
  { "save-vm",        { "active",    "migrating", NOVA_POWER_PAUSED    } },
  { "restore-vm",     { "active",    "migrating", NOVA_POWER_PAUSED    } },
  { "colo",           { "active",    "migrating", NOVA_POWER_RUNNING   } },
};

/* All others come behind the upload's beginning. */
static const struct { const char *step; const char *task; } step_tasks[] = {
  { "end-jobs",      pending        },
  { "create-files",  pending        },
  { "adopt-names",   pending        },
  { "open-overlays", pending        },
  { "look-again",    pending        },
  { "publish-early", pending        },
  { "settle-caches", at_point       },
  { "freeze",        at_point       },
  { "stop",          at_point       },
  { "take-point",    at_point       },
  { "swap-disks",    at_point       },
  { "rename-layers", at_point       },
  { "publish-late",  at_point       },
  { "cont",          at_point       },
  { "thaw",          at_point       },
  { "record-point",  at_point       },
  { "check-quiesce", at_point       },
  { "open-sources",  pending_upload },
};

/**
 * nova_state_of_guest:
 * @is_attached: whether there is a link to the guest
 * @run_state: (nullable): QEMU's RunState; %NULL for a peer without a CPU
 *
 * Returns: the state of its server, as far as operations have no part in it
 */
NovaState
nova_state_of_guest (gboolean    is_attached,
                     const char *run_state)
{
  NovaState state = { "active", NULL, NOVA_POWER_NOSTATE };

  if (!is_attached)
    state.vm_state = "error";
  for (gsize i = 0; is_attached && run_state != NULL && i < G_N_ELEMENTS (run_states); i++)
    if (strcmp (run_states[i].run_state, run_state) == 0)
      return run_states[i].state;
  return state;
}

/**
 * nova_task_of_operation:
 * @kind: an operation's kind
 * @state: its state
 * @step: (nullable): the step that runs, or ran last
 *
 * Returns: (transfer none) (nullable): the task_state of its server; %NULL for an operation that is
 *   over, or neither makes an image nor restores one
 */
const char *
nova_task_of_operation (const char     *kind,
                        OperationState  state,
                        const char     *step)
{
  gboolean is_image = strcmp (kind, "image") == 0;

  if (strcmp (kind, "restore") == 0 && state <= OPERATION_RUNNING)
    return rebuilding;
  if ((!is_image && strcmp (kind, "snapshot") != 0) || state > OPERATION_RUNNING)
    return NULL;
  if (state == OPERATION_QUEUED || step == NULL)
    return pending;

  /* A full image is announced before anything else; that of a layer when there is one. */
  if (strcmp (step, "create-images") == 0)
    return is_image ? pending : pending_upload;

  for (gsize i = 0; i < G_N_ELEMENTS (step_tasks); i++)
    if (strcmp (step_tasks[i].step, step) == 0)
      return step_tasks[i].task;
  return uploading;
}

/**
 * nova_state_to_status:
 * @state: a server's state
 *
 * Returns: (transfer none): its status, the word that clients show and filter by
 */
const char *
nova_state_to_status (const NovaState *state)
{
  static const struct { const char *vm_state; const char *status; } words[] = {
    { "active",    "ACTIVE"    },
    { "paused",    "PAUSED"    },
    { "suspended", "SUSPENDED" },
    { "stopped",   "SHUTOFF"   },
  };

  if (g_strcmp0 (state->task_state, "migrating") == 0)
    return "MIGRATING";
  if (g_strcmp0 (state->task_state, rebuilding) == 0)
    return "REBUILD";
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (words[i].vm_state, state->vm_state) == 0)
      return words[i].status;
  return "ERROR";
}

/**
 * nova_state_has_image:
 * @state: a server's state
 *
 * Returns: whether an image can be taken, as far as vm_state goes
 */
gboolean
nova_state_has_image (const NovaState *state)
{
  return strcmp (state->vm_state, "error") != 0;
}
