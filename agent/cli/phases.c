/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the steps of operations are in people's words. Many steps are one phase. */

#include "phases.h"

#include <string.h>

static const struct { const char *step; const char *phase; } phases[] = {
  { "create-images",   "registering the images" },
  { "end-jobs",        "preparing"              },
  { "forget-points",   "preparing"              },
  { "find-image",      "preparing"              },
  { "choose-names",    "preparing"              },
  { "fetch",           "downloading"            },
  { "find-target",     "preparing"              },
  { "create-target",   "preparing"              },
  { "open-target",     "preparing"              },
  { "create-files",    "preparing"              },
  { "adopt-names",     "preparing"              },
  { "open-overlays",   "preparing"              },
  { "open-nodes",      "preparing"              },
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
  { "mirror",          "switching"              },
  { "publish",         "switching"              },
  { "finish",          "switching"              },
  { "reset",           "switching"              },
  { "record-point",    "recording the point"    },
  { "record-branch",   "recording the point"    },
  { "check-quiesce",   "recording the point"    },
  { "open-sources",    "looking for the data"   },
  { "upload",          "uploading"              },
  { "run-moves",       "merging layers"         },
  { "commit-down",     "merging layers"         },
  { "copy",            "copying"                },
  { "end-copy",        "copying"                },
  { "commit-back",     "folding back"           },
  { "pivot",           "moving the disk"        },
  { "go-on",           "moving the disk"        },
  { "speed-up",        "tidying up"             },
  { "settle",          "tidying up"             },
  { "check-moves",     "tidying up"             },
  { "close-target",    "tidying up"             },
  { "check",           "tidying up"             },
  { "close-nodes",     "tidying up"             },
  { "record-image",    "tidying up"             },
  { "discard",         "tidying up"             },
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
