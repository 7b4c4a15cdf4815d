/* SPDX-License-Identifier: Apache-2.0 */

/* Disks that are held only as long as nobody else wants them. */

#include "engine-private.h"
#include "support.h"

#include <core/error.h>

#include <string.h>

typedef struct
{
  Journal  *journal;
  Engine   *engine;
  char     *folder;
  GTask    *step;               /* (nullable): the one that is under way */
  gboolean  stubborn;           /* "settle" goes on until it is let go */
  gboolean  away;               /* "fold" is over at once, and "settle" finds no guest */
  guint     n_freed;
} Fixture;

static gpointer
job_new (Operation  *operation,
         gpointer    environment,
         GError    **error)
{
  return environment;
}

static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  Fixture *self = user_data;
  g_autoptr (GTask) step = g_steal_pointer (&self->step);

  if (step != NULL)
    g_task_return_new_error (step, G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped");
}

/* Works until it is cancelled. */
static void
fold (GTask    *step,
      gpointer  user_data)
{
  Fixture *self = user_data;

  if (self->away)
    {
      g_task_return_boolean (step, TRUE);
      g_object_unref (step);
      return;
    }

  self->step = step;
  g_signal_connect (g_task_get_cancellable (step), "cancelled", G_CALLBACK (on_cancelled), self);
}

static void
settle (GTask    *step,
        gpointer  user_data)
{
  Fixture *self = user_data;

  if (self->stubborn)
    {
      self->step = step;
      return;
    }

  if (self->away)
    g_task_return_new_error (step, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE, "away");
  else
    g_task_return_boolean (step, TRUE);

  g_object_unref (step);
}

static Recovery
decide (gpointer    user_data,
        const char *last_step,
        gboolean    ended)
{
  return (Recovery) { RECOVERY_WAIT, NULL, "the guest is away" };
}

static const Step steps[] = {
  { "fold",   fold,   STEP_FORWARD, NULL,   FALSE, NULL },
  { "settle", settle, STEP_ALWAYS,  "fold", FALSE, NULL },
  { NULL,     NULL,   STEP_FORWARD, NULL,   FALSE, NULL },
};

static gboolean
gives_way (Operation *operation)
{
  return json_object_get_boolean_member_with_default (operation_get_request (operation), "tidy",
                                                      FALSE);
}

static const Workflow workflow = {
  .kind = "folding",
  .steps = steps,
  .job_new = job_new,
  .decide = decide,
  .patient_from = "settle",
  .gives_way = gives_way,
};

static void
on_freed (Engine     *engine,
          const char *guest,
          gpointer    user_data)
{
  g_assert_cmpstr (guest, ==, "g");
  ((Fixture *) user_data)->n_freed++;
}

static void
start (Fixture *self)
{
  g_autofree char *path = g_build_filename (self->folder, "journal", NULL);

  self->journal = journal_open (path, NULL);
  self->engine = engine_new (self->journal);
  engine_register (self->engine, &workflow, self);
  g_signal_connect (self->engine, "freed", G_CALLBACK (on_freed), self);
  g_assert_true (engine_load (self->engine, NULL));
}

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  self->folder = folder_new ();
  start (self);
}

static void
stop (Fixture *self)
{
  g_clear_object (&self->engine);
  g_clear_object (&self->journal);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  stop (self);
  folder_remove (self->folder);
  g_free (self->folder);
}

static gboolean
is_idle (gpointer user_data)
{
  return engine_is_idle (((Fixture *) user_data)->engine);
}

static gboolean
has_begun (gpointer user_data)
{
  Fixture *self = user_data;

  return self->step != NULL || engine_is_idle (self->engine);
}

static Operation *
begin (Fixture  *self,
       gboolean  tidy)
{
  const char *const disks[] = { "vda", "vdb", NULL };
  g_autofree char *id = g_uuid_string_random ();
  g_autoptr (JsonObject) request = json_object_new ();
  g_autoptr (JsonObject) plan = json_object_new ();
  g_autoptr (Claim) claim = engine_claim (self->engine, "g", disks, "a request", NULL);
  g_autoptr (GError) error = NULL;
  Operation *operation;

  json_object_set_boolean_member (request, "tidy", tidy);
  operation = engine_submit (self->engine, "folding", id, claim, request, plan, NULL, &error);
  g_assert_no_error (error);
  loop_until (has_begun, self);
  return operation;
}

typedef struct
{
  gboolean  over;
  Claim    *claim;
  GError   *error;
} Answer;

static void
on_claimed (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  Answer *answer = user_data;

  answer->claim = engine_claim_finish (AGENT_ENGINE (source), result, &answer->error);
  answer->over = TRUE;
}

static gboolean
is_over (gpointer user_data)
{
  return ((Answer *) user_data)->over;
}

static void
ask (Fixture      *self,
     const char   *disk,
     const char   *holder,
     GCancellable *cancellable,
     Answer       *answer)
{
  const char *const disks[] = { disk, NULL };

  engine_claim_async (self->engine, "g", disk != NULL ? disks : NULL, holder, cancellable,
                      on_claimed, answer);
}

static void
answer_clear (Answer *answer)
{
  g_clear_object (&answer->claim);
  g_clear_error (&answer->error);
}

/* Whoever comes first has the disks, also the whole guest; who comes second finds them taken. */
static void
test_gives_way (Fixture       *self,
                gconstpointer  data)
{
  Operation *operation = begin (self, TRUE);
  Answer first = { 0 }, second = { 0 };

  ask (self, NULL, "the first", NULL, &first);
  ask (self, "vdb", "the second", NULL, &second);
  loop_until (is_over, &first);
  loop_until (is_over, &second);
  g_assert_no_error (first.error);
  g_assert_nonnull (first.claim);
  g_assert_null (second.claim);
  assert_error_says (second.error, AGENT_ERROR_CONFLICT, "is held by the first");
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_CANCELLED);
  g_assert_true (operation_gave_way (operation));
  g_assert_cmpuint (self->n_freed, ==, 0);
  answer_clear (&first);
  g_assert_cmpuint (self->n_freed, ==, 1);
  answer_clear (&second);
}

static void
test_others_do_not (Fixture       *self,
                    gconstpointer  data)
{
  Operation *operation = begin (self, FALSE);
  Answer answer = { 0 };

  ask (self, "vda", "another", NULL, &answer);
  loop_until (is_over, &answer);
  assert_error_says (answer.error, AGENT_ERROR_CONFLICT, operation_get_id (operation));
  answer_clear (&answer);
  g_assert_false (g_cancellable_is_cancelled (operation_get_cancellable (operation)));
  g_assert_true (engine_cancel (self->engine, operation, NULL));
  loop_until (is_idle, self);
  g_assert_false (operation_gave_way (operation));
}

/* Somebody has cancelled it before it was wanted: that is not why. */
static void
test_cancelled_before (Fixture       *self,
                       gconstpointer  data)
{
  Operation *operation = begin (self, TRUE);
  Answer answer = { 0 };

  g_assert_true (engine_cancel (self->engine, operation, NULL));
  ask (self, "vda", "another", NULL, &answer);
  loop_until (is_over, &answer);
  g_assert_no_error (answer.error);
  g_assert_false (operation_gave_way (operation));
  answer_clear (&answer);
}

/* Who waits hangs up; what was called off stays so, and nobody has the disks then. */
static void
test_waits_no_more (Fixture       *self,
                    gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer answer = { 0 };
  g_autoptr (GTask) step = NULL;
  g_autoptr (Claim) claim = NULL;

  self->stubborn = TRUE;
  begin (self, TRUE);
  ask (self, "vda", "another", cancellable, &answer);
  loop_until (has_begun, self);
  g_assert_false (answer.over);
  g_cancellable_cancel (cancellable);
  loop_until (is_over, &answer);
  g_assert_error (answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  answer_clear (&answer);
  step = g_steal_pointer (&self->step);
  g_task_return_boolean (step, TRUE);
  loop_until (is_idle, self);
  claim = engine_claim (self->engine, "g", NULL, "whoever", NULL);
  g_assert_nonnull (claim);
}

/* Before there is an operation its request is called off. */
static void
test_requests_give_way (Fixture       *self,
                        gconstpointer  data)
{
  g_autoptr (GCancellable) called_off = g_cancellable_new ();
  g_autoptr (Claim) claim = engine_claim (self->engine, "g", NULL, "a tidy one", NULL);
  Answer answer = { 0 };

  claim_give_way (claim, called_off);
  ask (self, "vda", "another", NULL, &answer);
  g_assert_true (g_cancellable_is_cancelled (called_off));
  g_clear_object (&claim);
  loop_until (is_over, &answer);
  g_assert_no_error (answer.error);
  answer_clear (&answer);
}

/* One that waits for its guest, found after a restart. */
static void
test_after_a_restart (Fixture       *self,
                      gconstpointer  data)
{
  g_autofree char *id = NULL;
  Answer answer = { 0 };

  self->away = TRUE;
  id = g_strdup (operation_get_id (begin (self, TRUE)));
  stop (self);
  start (self);
  self->away = FALSE;
  ask (self, "vda", "another", NULL, &answer);
  loop_until (is_over, &answer);
  g_assert_no_error (answer.error);
  g_assert_true (operation_gave_way (engine_find (self->engine, id)));
  answer_clear (&answer);
}

#define ADD(name) g_test_add ("/claim-wait/" #name, Fixture, NULL, set_up, test_ ## name, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD (gives_way);
  ADD (others_do_not);
  ADD (cancelled_before);
  ADD (waits_no_more);
  ADD (requests_give_way);
  ADD (after_a_restart);

  return g_test_run ();
}
