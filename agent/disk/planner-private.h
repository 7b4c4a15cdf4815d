/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/planner.h>

G_BEGIN_DECLS

/* What each merge of neighbouring layers costs. Made once for a chain: with n layers that have t
 * ranges in all it takes t * log t + n * n steps; then each question is one look. */

typedef struct _PlanCosts PlanCosts;

/* @layers: of PlanLayer */
PlanCosts *plan_costs_new    (GPtrArray *layers);
void       plan_costs_free   (PlanCosts *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PlanCosts, plan_costs_free)

/* Bytes that are copied when the layers @first to @last become one; @first is below @last. */
gint64     plan_costs_commit (const PlanCosts *self, guint first, guint last);
gint64     plan_costs_stream (const PlanCosts *self, guint first, guint last);

G_END_DECLS
