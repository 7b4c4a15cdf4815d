/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the steps of operations are in people's words. Many steps are one phase. */

#include "phases.h"

#include <string.h>

static const struct { const char *step; const char *phase; } phases[] = {
  { "create-images",   "registering the images" },
  { "end-jobs",        "preparing"              },
  { "create-files",    "preparing"              },
  { "adopt-names",     "preparing"              },
  { "open-overlays",   "preparing"              },
  { "look-again",      "preparing"              },
  { "publish-early",   "preparing"              },
  { "settle-caches",   "preparing"              },
  { "freeze",          "freezing"               },
  { "stop",            "freezing"               },
  { "take-point",      "freezing"               },
  { "swap-disks",      "freezing"               },
  { "rename-layers",   "freezing"               },
  { "publish-late",    "freezing"               },
  { "cont",            "freezing"               },
  { "thaw",            "freezing"               },
  { "record-point",    "recording the point"    },
  { "check-quiesce",   "recording the point"    },
  { "open-sources",    "looking for the data"   },
  { "upload",          "uploading"              },
  { "commit-back",     "folding back"           },
  { "pivot",           "folding back"           },
  { "go-on",           "folding back"           },
  { "speed-up",        "folding back"           },
  { "delete-overlays", "tidying up"             },
  { "delete-images",   "undoing"                },
  { "withdraw",        "undoing"                },
};

/**
 * phase_of_step:
 * @step: the name of a step
 *
 * Returns: (nullable): its phase
 */
const char *
phase_of_step (const char *step)
{
  for (gsize i = 0; i < G_N_ELEMENTS (phases); i++)
    if (strcmp (phases[i].step, step) == 0)
      return phases[i].phase;
  return NULL;
}
