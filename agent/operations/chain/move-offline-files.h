/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "move.h"

G_BEGIN_DECLS

/* What of a move without QEMU is done to files beside copying. All of it blocks. */

typedef struct
{
  gboolean done;                /* chain and names are as they are to be */
  char    *base;                /* of a commit: how the chain calls the file that takes the data */
  int      claim;               /* of a commit that moves the name: nobody else opens the top; -1 */
} OfflineFacts;

#define OFFLINE_FACTS_NONE { .claim = -1 }

/* What was claimed others may open again. */
void     offline_facts_clear    (OfflineFacts *self);

/* How far the move has come, by headers and names. AGENT_ERROR CONFLICT when the chain is neither
 * as planned nor as it is to be, has what cannot be moved, or somebody has its top open. */
gboolean offline_look           (const ChainMove *move, OfflineFacts *facts,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What was copied is durable. */
gboolean offline_settle_data    (const ChainMove *move, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The header that was rewritten is durable, and says what it is to say. */
gboolean offline_settle_header  (const ChainMove *move, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* After a commit of the top: the disk is started from the file that took the data. */
gboolean offline_publish        (const ChainMove *move, OfflineFacts *facts,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
