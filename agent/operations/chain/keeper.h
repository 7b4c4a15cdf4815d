/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* Keeps chains short by itself: once a point of a guest is uploaded, it asks for "shorten", once
 * for each snapshot, also after a restart. */

typedef struct _ChainKeeper ChainKeeper;

/* @operations: (unowned): outlives the keeper */
ChainKeeper *chain_keeper_new  (Operations *operations);
void         chain_keeper_free (ChainKeeper *self);

G_END_DECLS
