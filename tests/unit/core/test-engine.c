/* SPDX-License-Identifier: Apache-2.0 */

/* Claims, repeated requests, many operations at once, and what a restart finds. */

#include "toy.h"

#include "support.h"

#include <core/error.h>

#include <string.h>

typedef struct
{
  char  *folder;
  char  *path;
  World  world;
  Toy    toy;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->folder = folder_new ();
  fixture->path = g_build_filename (fixture->folder, "journal", NULL);
  fixture->toy.worlds = &fixture->world;
  toy_start (&fixture->toy, fixture->path);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  toy_stop (&fixture->toy);
  folder_remove (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static void
restart (Fixture *fixture)
{
  toy_stop (&fixture->toy);
  fixture->toy = (Toy) { .worlds = &fixture->world };
  toy_start (&fixture->toy, fixture->path);
}

static Operation *
newest (Fixture *fixture)
{
  g_autoptr (GPtrArray) all = engine_list (fixture->toy.engine, NULL);

  g_assert_cmpuint (all->len, >, 0);

  return g_ptr_array_index (all, 0);
}

static Claim *
claim_disks (Fixture    *fixture,
             const char *guest,
             const char *disks,
             GError    **error)
{
  g_auto (GStrv) names = disks != NULL ? g_strsplit (disks, " ", -1) : NULL;

  return engine_claim (fixture->toy.engine, guest, (const char *const *) names, "the first", error);
}

static void
assert_claimed (Fixture    *fixture,
                const char *guest,
                const char *disks,
                const char *complaint)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Claim) claim = claim_disks (fixture, guest, disks, &error);

  g_assert_null (claim);
  assert_error_says (error, AGENT_ERROR_CONFLICT, complaint);
}

static void
assert_free (Fixture    *fixture,
             const char *guest,
             const char *disks)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Claim) claim = claim_disks (fixture, guest, disks, &error);

  g_assert_no_error (error);
  g_assert_nonnull (claim);
}

static void
test_claims (Fixture       *fixture,
             gconstpointer  data)
{
  static const char *const one[] = { "vdb", "vdz", NULL };
  Claim *claim = claim_disks (fixture, "g", "vda vdb", NULL);
  Claim *whole;

  assert_claimed (fixture, "g", "vdb vdc", "disk 'vdb' of guest 'g' is held by the first");
  assert_claimed (fixture, "g", NULL, "guest 'g' is held by the first");
  assert_free (fixture, "g", "vdc");
  assert_free (fixture, "h", "vda");
  assert_free (fixture, "h", NULL);

  claim_narrow (claim, one);
  assert_free (fixture, "g", "vda vdz");
  assert_claimed (fixture, "g", "vdb", "'vdb'");
  g_object_unref (claim);
  assert_free (fixture, "g", NULL);

  whole = claim_disks (fixture, "g", NULL, NULL);
  assert_claimed (fixture, "g", NULL, "guest 'g' is held by the first");
  assert_claimed (fixture, "g", "vdx", "disk 'vdx' of guest 'g' is held by the first");
  claim_narrow (whole, one);
  assert_free (fixture, "g", "vdx");
  assert_claimed (fixture, "g", "vdz", "'vdz'");
  g_object_unref (whole);
}

static void
test_operation_holds_disks (Fixture       *fixture,
                            gconstpointer  data)
{
  Operation *operation = toy_submit (&fixture->toy, 0, NULL);
  g_autofree char *holder = g_strdup_printf ("disk 'vda' of guest 'g0' is held by operation %s",
                                             operation_get_id (operation));

  g_assert_false (engine_is_idle (fixture->toy.engine));
  assert_claimed (fixture, "g0", "vda", holder);
  assert_free (fixture, "g0", "vdb");
  toy_run (&fixture->toy);
  assert_free (fixture, "g0", NULL);
}

static JsonObject *
request_of (const char *text)
{
  g_autoptr (JsonNode) node = json_from_string (text, NULL);

  return json_node_dup_object (node);
}

static Operation *
submit_request (Fixture    *fixture,
                const char *kind,
                const char *key,
                JsonObject *request,
                GError    **error)
{
  g_autofree char *id = g_uuid_string_random ();
  g_autoptr (JsonObject) plan = request_of ("{\"node\":\"n1\"}");
  g_autoptr (Claim) claim = claim_disks (fixture, "g0", "vda", NULL);

  return engine_submit (fixture->toy.engine, kind, id, claim, request, plan, key, error);
}

static void
test_repeated (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (JsonObject) request = request_of ("{\"name\":\"a\",\"disks\":[\"vda\"]}");
  g_autoptr (JsonObject) same = request_of ("{\"disks\":[\"vda\"],\"name\":\"a\"}");
  g_autoptr (JsonObject) other = request_of ("{\"disks\":[\"vdb\"],\"name\":\"a\"}");
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL;
  Engine *engine = fixture->toy.engine;
  Operation *operation;

  g_assert_null (engine_repeated (engine, "key", "toy", "g0", request, &error));
  g_assert_no_error (error);

  operation = submit_request (fixture, "toy", "key", request, &error);
  g_assert_no_error (error);
  g_assert_true (engine_repeated (engine, "key", "toy", "g0", same, &error) == operation);
  g_assert_null (engine_repeated (engine, NULL, "toy", "g0", same, &error));
  g_assert_no_error (error);
  g_assert_null (engine_repeated (engine, "key", "toy", "g0", other, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, operation_get_id (operation));
  g_clear_error (&error);
  g_assert_null (engine_repeated (engine, "key", "toy", "g1", same, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, "'key'");
  g_clear_error (&error);
  g_assert_null (engine_repeated (engine, "key", "other", "g0", same, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, "'key'");
  g_clear_error (&error);

  toy_run (&fixture->toy);

  /* One who did not ask first is told by the journal. */
  g_assert_null (submit_request (fixture, "toy", "key", request, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  assert_free (fixture, "g0", "vda");

  id = g_strdup (operation_get_id (operation));
  restart (fixture);
  operation = engine_repeated (fixture->toy.engine, "key", "toy", "g0", same, NULL);
  g_assert_cmpstr (operation_get_id (operation), ==, id);
}

static void
test_unknown_kind (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (JsonObject) request = json_object_new ();
  g_autoptr (GError) error = NULL;

  g_assert_null (submit_request (fixture, "teleport", NULL, request, &error));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "teleport");
  g_assert_true (engine_is_idle (fixture->toy.engine));
}

static void
count_signal (Engine    *engine,
              Operation *operation,
              guint     *n_signals)
{
  (*n_signals)++;
}

static void
test_list_and_signal (Fixture       *fixture,
                      gconstpointer  data)
{
  World worlds[2] = { 0 };
  guint n_signals = 0;
  Operation *first, *second;
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (GPtrArray) some = NULL;

  fixture->toy.worlds = worlds;
  g_signal_connect (fixture->toy.engine, "operation", G_CALLBACK (count_signal), &n_signals);
  first = toy_submit (&fixture->toy, 0, NULL);
  g_assert_cmpuint (n_signals, ==, 1);
  second = toy_submit (&fixture->toy, 1, NULL);
  toy_run (&fixture->toy);

  /* Each was added, began nine steps, and ended. */
  g_assert_cmpuint (n_signals, ==, 2 * 11);

  all = engine_list (fixture->toy.engine, NULL);
  g_assert_cmpuint (all->len, ==, 2);
  g_assert_true (g_ptr_array_index (all, 0) == second);
  g_assert_true (g_ptr_array_index (all, 1) == first);
  some = engine_list (fixture->toy.engine, "g1");
  g_assert_cmpuint (some->len, ==, 1);
  g_assert_true (engine_find (fixture->toy.engine, operation_get_id (first)) == first);
  g_assert_null (engine_find (fixture->toy.engine, "nobody"));
}

#define N_MANY 1000

static void
test_many (Fixture       *fixture,
           gconstpointer  data)
{
  g_autofree World *worlds = g_new0 (World, N_MANY);

  fixture->toy.worlds = worlds;

  for (guint i = 0; i < N_MANY; i++)
    g_assert_nonnull (toy_submit (&fixture->toy, i, NULL));

  toy_run (&fixture->toy);

  /* Not six for each. */
  g_assert_cmpuint (fixture->toy.n_writes, <, 2 * N_MANY);

  for (guint i = 0; i < N_MANY; i++)
    {
      g_autofree char *guest = g_strdup_printf ("g%u", i);
      g_autoptr (GPtrArray) all = engine_list (fixture->toy.engine, guest);

      g_assert_cmpuint (all->len, ==, 1);
      g_assert_cmpint (operation_get_state (g_ptr_array_index (all, 0)), ==, OPERATION_SUCCEEDED);
      toy_check_world (&worlds[i], OPERATION_SUCCEEDED);
    }
}

/* A write that serves one operation must not be lost with another's that cannot be made. */
static void
test_shared_write_fails (Fixture       *fixture,
                         gconstpointer  data)
{
  World worlds[3] = { 0 };
  Operation *operations[3];

  fixture->toy.worlds = worlds;

  for (guint i = 0; i < 3; i++)
    operations[i] = toy_submit (&fixture->toy, i, NULL);

  /* The one for all three, and then that of the second alone. */
  g_assert_cmpuint (fixture->toy.n_writes, ==, 3);
  fixture->toy.refuse_from = 4;
  fixture->toy.refuse_times = 2;
  toy_run (&fixture->toy);

  g_assert_cmpint (operation_get_state (operations[0]), ==, OPERATION_FAILED);
  g_assert_cmpint (operation_get_state (operations[1]), ==, OPERATION_SUCCEEDED);
  g_assert_cmpint (operation_get_state (operations[2]), ==, OPERATION_SUCCEEDED);

  for (guint i = 0; i < 3; i++)
    toy_check_world (&worlds[i], operation_get_state (operations[i]));
}

static void
count_row (JournalRow *row,
           gpointer    user_data)
{
  *(gint64 *) user_data = journal_row_int64 (row, 0);
}

static gint64
count_rows (Fixture    *fixture,
            const char *sql)
{
  gint64 count = -1;

  g_assert_true (journal_read (fixture->toy.journal, count_row, &count, NULL, sql, ""));

  return count;
}

static void
fill_journal (Fixture *fixture,
              guint    n_operations)
{
  g_autoptr (GError) error = NULL;

  journal_set_hook (fixture->toy.journal, NULL, NULL);
  g_assert_true (journal_write (fixture->toy.journal, &error,
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    " INSERT INTO operations (id, kind, guest, state, request, plan, result, idempotency_key,"
    " created_us, started_us, finished_us)"
    " SELECT 'old-' || i, 'toy', 'g0', 'succeeded', '{}', '{}', '{}', 'key-' || i, i, i, i FROM n",
    "i", (gint64) n_operations));
  g_assert_no_error (error);
  g_assert_true (journal_write (fixture->toy.journal, &error,
    "INSERT INTO steps (operation, position, name, state, begun_us, ended_us)"
    " SELECT id, 0, 'create-overlays', 'done', 1, 1 FROM operations", ""));
  g_assert_no_error (error);
}

static void
test_pruned_at_load (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (GPtrArray) all = NULL;

  fill_journal (fixture, 1234);
  restart (fixture);
  all = engine_list (fixture->toy.engine, NULL);
  g_assert_cmpuint (all->len, ==, 1000);
  g_assert_cmpstr (operation_get_id (g_ptr_array_index (all, 0)), ==, "old-1234");
  g_assert_cmpstr (operation_get_id (g_ptr_array_index (all, 999)), ==, "old-235");
  g_assert_cmpint (count_rows (fixture, "SELECT count(*) FROM operations"), ==, 1000);
  g_assert_cmpint (count_rows (fixture, "SELECT count(*) FROM steps"), ==, 1000);
}

static gboolean
refuse (Journal   *journal,
        gpointer   user_data,
        GError   **error)
{
  agent_set_error (error, AGENT_ERROR_NO_SPACE, NULL, "there is no room");

  return FALSE;
}

/* Old operations that cannot be deleted now, perhaps as there is no room, keep nobody from work. */
static void
test_not_pruned_at_load (Fixture       *fixture,
                         gconstpointer  data)
{
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_LEVEL_ERROR);
  g_autoptr (Engine) engine = engine_new (fixture->toy.journal);
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (GError) error = NULL;

  fill_journal (fixture, 1001);
  journal_set_hook (fixture->toy.journal, refuse, NULL);
  g_assert_true (engine_load (engine, &error));
  g_assert_no_error (error);
  all = engine_list (engine, NULL);
  g_assert_cmpuint (all->len, ==, 1001);
  g_log_set_always_fatal (fatal);
}

static void
test_pruned_later (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (JsonObject) request = json_object_new ();
  g_autoptr (GPtrArray) all = NULL;

  fill_journal (fixture, 1000);
  restart (fixture);
  journal_set_hook (fixture->toy.journal, NULL, NULL);

  for (guint i = 0; i < 101; i++)
    {
      fixture->world = (World) { 0 };
      toy_submit (&fixture->toy, 0, NULL);
      toy_run (&fixture->toy);
    }

  all = engine_list (fixture->toy.engine, NULL);
  g_assert_cmpuint (all->len, ==, 1000);
  g_assert_cmpint (count_rows (fixture, "SELECT count(*) FROM operations"), ==, 1000);
  g_assert_nonnull (engine_find (fixture->toy.engine, "old-102"));
  g_assert_null (engine_find (fixture->toy.engine, "old-101"));
  g_assert_null (engine_repeated (fixture->toy.engine, "key-101", "toy", "g0", request, NULL));
  g_assert_nonnull (engine_repeated (fixture->toy.engine, "key-102", "toy", "g0", request, NULL));
}

/* Leaves an operation in the journal as a crash in its first step would. */
static void
leave_open (Fixture    *fixture,
            const char *kind,
            const char *step)
{
  g_autoptr (GError) error = NULL;

  journal_set_hook (fixture->toy.journal, NULL, NULL);
  g_assert_true (journal_write (fixture->toy.journal, &error,
    "INSERT INTO operations (id, kind, guest, disks, state, request, plan, result, created_us)"
    " VALUES ('left', ?, 'g0', '[\"vda\"]', 'running', '{}', '{\"a\":1}', '{\"b\":2}', 1)",
    "s", kind));
  g_assert_no_error (error);
  g_assert_true (journal_write (fixture->toy.journal, &error,
    "INSERT INTO steps (operation, position, name, state, begun_us)"
    " VALUES ('left', 2, ?, 'running', 1)", "s", step));
  g_assert_no_error (error);
  restart (fixture);
}

static char *
show (Operation *operation)
{
  g_autoptr (JsonNode) json = operation_to_json (operation);

  return json_to_string (json, FALSE);
}

static void
test_open_waits (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autofree char *text = NULL;
  Operation *operation;

  leave_open (fixture, "toy", "create-overlays");
  operation = newest (fixture);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_RUNNING);
  g_assert_cmpstr (operation_get_step (operation), ==, "create-overlays");
  g_assert_cmpint (json_object_get_int_member (operation_get_plan (operation), "a"), ==, 1);
  g_assert_cmpint (json_object_get_int_member (operation_get_result (operation), "b"), ==, 2);
  text = show (operation);
  g_assert_nonnull (strstr (text, "it goes on when guest 'g0' is there"));
  g_assert_true (engine_is_idle (fixture->toy.engine));
  assert_claimed (fixture, "g0", "vda", "operation left (toy)");

  engine_recover (fixture->toy.engine, "g0");
  engine_recover (fixture->toy.engine, "g0");
  toy_run (&fixture->toy);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_FAILED);
  assert_error_says (operation_get_error (operation), AGENT_ERROR_UNAVAILABLE,
                     "interrupted by a restart of the daemon: nothing was taken yet");
  assert_free (fixture, "g0", NULL);
}

static void
test_cancel_open (Fixture       *fixture,
                  gconstpointer  data)
{
  Operation *operation;

  fixture->world.overlays = TRUE;
  leave_open (fixture, "toy", "upload");
  operation = newest (fixture);
  g_assert_true (engine_cancel (fixture->toy.engine, operation, NULL));
  toy_run (&fixture->toy);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_CANCELLED);
}

/* What could not be cleaned up is tried again for whoever asks again. */
static void
test_cancel_open_again (Fixture       *fixture,
                        gconstpointer  data)
{
  Operation *operation;

  fixture->world.overlays = TRUE;
  leave_open (fixture, "toy", "create-overlays");
  operation = newest (fixture);
  fixture->toy.faults[0] = (Fault) { "drop-overlays", MOMENT_BEFORE, 1 };
  g_assert_true (engine_cancel (fixture->toy.engine, operation, NULL));
  while (!engine_is_idle (fixture->toy.engine))
    g_main_context_iteration (NULL, TRUE);
  g_assert_false (operation_is_finished (operation));

  g_assert_true (engine_cancel (fixture->toy.engine, operation, NULL));
  g_assert_false (engine_is_idle (fixture->toy.engine));
  toy_run (&fixture->toy);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_CANCELLED);
}

/* The wish is in the journal before anything else is. */
static void
test_cancel_open_refused (Fixture       *fixture,
                          gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  Operation *operation;

  leave_open (fixture, "toy", "create-overlays");
  operation = newest (fixture);
  fixture->toy.refuse_from = 1;
  fixture->toy.refuse_times = 1;
  g_assert_false (engine_cancel (fixture->toy.engine, operation, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_null (operation_get_error (operation));

  g_assert_true (engine_cancel (fixture->toy.engine, operation, NULL));
  toy_run (&fixture->toy);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_CANCELLED);
}

static void
test_open_of_another_version (Fixture       *fixture,
                              gconstpointer  data)
{
  static const struct { const char *kind, *step, *complaint; } rows[] = {
    { "teleport", "beam", "does not know operations of kind 'teleport'" },
    { "toy", "beam", "has done a step 'beam' that this version does not know" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *text = NULL;

      leave_open (fixture, rows[i].kind, rows[i].step);
      engine_recover (fixture->toy.engine, NULL);
      g_assert_true (engine_is_idle (fixture->toy.engine));
      text = show (newest (fixture));
      g_assert_nonnull (strstr (text, "\"state\":\"running\""));
      g_assert_nonnull (strstr (text, rows[i].complaint));
      assert_claimed (fixture, "g0", "vda", "operation left");
      g_assert_true (journal_write (fixture->toy.journal, NULL, "DELETE FROM operations", ""));
    }
}

static void
fail_on_row (JournalRow *row,
             gpointer    user_data)
{
  g_test_fail_printf ("there is such a row");
}

/* A workflow whose recovery does as the test says. */
typedef struct
{
  Recovery    recovery;
  guint       facts_fail;       /* how often they still do */
  const char *fails;            /* (nullable): the step that does */
  GString    *history;
} Patient;

static gpointer
patient_new (Operation  *operation,
             gpointer    environment,
             GError    **error)
{
  return environment;
}

static void
patient_facts (GTask    *task,
               gpointer  user_data)
{
  g_autoptr (GTask) owned = task;
  Patient *patient = user_data;

  if (patient->facts_fail > 0 && patient->facts_fail-- > 0)
    g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE, "no answer");
  else
    g_task_return_boolean (task, TRUE);
}

static void
patient_run (GTask    *task,
             gpointer  user_data)
{
  g_autoptr (GTask) owned = task;
  Patient *patient = user_data;

  g_string_append_printf (patient->history, "%s ", g_task_get_name (task));

  if (g_strcmp0 (g_task_get_name (task), patient->fails) == 0)
    g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_GUEST, "injected");
  else
    g_task_return_boolean (task, TRUE);
}

static Recovery
patient_decide (gpointer    user_data,
                const char *last_step,
                gboolean    ended)
{
  Patient *patient = user_data;

  g_assert_cmpstr (last_step, ==, "last");
  g_assert_false (ended);

  return patient->recovery;
}

static gboolean
patient_never (gpointer user_data)
{
  return FALSE;
}

static const Step patient_steps[] = {
  { "first", patient_run, STEP_FORWARD, NULL,    FALSE, NULL },
  { "clean", patient_run, STEP_ALWAYS,  "first", FALSE, NULL },
  { "spare", patient_run, STEP_FORWARD, NULL,    FALSE, patient_never },
  { "last",  patient_run, STEP_FORWARD, NULL,    FALSE, NULL },
  { NULL,    NULL,        STEP_FORWARD, NULL,    FALSE, NULL },
};

static const Workflow patient_workflow = {
  .kind = "patient",
  .steps = patient_steps,
  .job_new = patient_new,
  .gather_facts = patient_facts,
  .decide = patient_decide,
};

/* One that is cut off in its last step. */
static Operation *
load_patient (Fixture *fixture,
              Patient *patient)
{
  g_autoptr (GError) error = NULL;

  patient->history = g_string_new (NULL);
  leave_open (fixture, "patient", "last");
  journal_set_hook (fixture->toy.journal, NULL, NULL);
  g_assert_true (journal_write (fixture->toy.journal, &error,
    "INSERT INTO steps (operation, position, name, state, begun_us, ended_us)"
    " VALUES ('left', 0, 'first', 'done', 1, 1), ('left', 1, 'clean', 'done', 1, 1)", ""));
  g_assert_no_error (error);

  g_clear_object (&fixture->toy.engine);
  fixture->toy.engine = engine_new (fixture->toy.journal);
  engine_register (fixture->toy.engine, &patient_workflow, patient);
  g_assert_true (engine_load (fixture->toy.engine, &error));
  g_assert_no_error (error);

  return engine_find (fixture->toy.engine, "left");
}

static void
recover_and_show (Fixture    *fixture,
                  Operation  *operation,
                  const char *shown)
{
  g_autofree char *text = NULL;

  engine_recover (fixture->toy.engine, "g0");
  toy_run (&fixture->toy);
  text = show (operation);

  if (strstr (text, shown) == NULL)
    g_error ("%s does not say %s", text, shown);
}

static void
test_decisions (Fixture       *fixture,
                gconstpointer  data)
{
  Patient patient = { { RECOVERY_WAIT, NULL, "the guest is migrating" }, 1, NULL, NULL };
  Operation *operation = load_patient (fixture, &patient);

  recover_and_show (fixture, operation, "asking how things stand: no answer");
  recover_and_show (fixture, operation, "waiting: the guest is migrating");

  patient.recovery = (Recovery) { RECOVERY_RESUME, "nowhere", "a mistake" };
  recover_and_show (fixture, operation, "has no step 'nowhere'");
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_RUNNING);
  g_assert_cmpstr (patient.history->str, ==, "");

  patient.recovery = (Recovery) { RECOVERY_RESUME, "last", "go on" };
  recover_and_show (fixture, operation, "\"error\":null");
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_SUCCEEDED);
  g_assert_cmpstr (patient.history->str, ==, "last ");
  g_string_free (patient.history, TRUE);
}

/* What was cleaned up before the crash has to be cleaned up again, when its step is run again. */
static void
test_resumed_from_earlier (Fixture       *fixture,
                           gconstpointer  data)
{
  Patient patient = { { RECOVERY_RESUME, "first", "once more" }, 0, "first", NULL };
  Operation *operation = load_patient (fixture, &patient);

  recover_and_show (fixture, operation, "\"state\":\"failed\"");
  g_assert_cmpstr (patient.history->str, ==, "first clean ");
  g_string_free (patient.history, TRUE);
}

/* A step that the plan has no use for is neither run nor written down. */
static void
test_needless_step (Fixture       *fixture,
                    gconstpointer  data)
{
  Patient patient = { { RECOVERY_RESUME, "first", "once more" }, 0, NULL, NULL };
  Operation *operation = load_patient (fixture, &patient);

  recover_and_show (fixture, operation, "\"state\":\"succeeded\"");
  g_assert_cmpstr (patient.history->str, ==, "first clean last ");
  g_assert_true (journal_read (fixture->toy.journal, fail_on_row, NULL, NULL,
                               "SELECT 1 FROM steps WHERE name = 'spare' AND begun_us IS NOT NULL",
                               ""));
  g_string_free (patient.history, TRUE);
}

/* The facts may be past a step that never began; who cleans up after it is due all the same. */
static void
test_resume_ahead (Fixture       *fixture,
                   gconstpointer  data)
{
  Patient patient = { { RECOVERY_RESUME, "clean", "the world is past it" }, 0, NULL, NULL };
  Operation *operation = load_patient (fixture, &patient);

  operation_get_record (operation, 0)->begun_us = 0;
  operation_get_record (operation, 1)->begun_us = 0;
  recover_and_show (fixture, operation, "\"state\":\"succeeded\"");
  g_assert_cmpstr (patient.history->str, ==, "clean last ");
  g_string_free (patient.history, TRUE);
}

/* The guest comes back while a run that did not find it is still on its way to say so. */
static void
test_recover_while_recovering (Fixture       *fixture,
                               gconstpointer  data)
{
  Patient patient = { { RECOVERY_RESUME, "last", "go on" }, 1, NULL, NULL };
  Operation *operation = load_patient (fixture, &patient);

  engine_recover (fixture->toy.engine, "g0");
  engine_recover (fixture->toy.engine, "g0");
  toy_run (&fixture->toy);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_SUCCEEDED);
  g_assert_cmpstr (patient.history->str, ==, "last ");
  g_string_free (patient.history, TRUE);
}

/* Tables that the engine cannot keep its promises with. */
static void
test_unsound_tables (void)
{
#define STEP(name, when, cleans_up) { name, patient_run, when, cleans_up, FALSE, NULL }
  static const Step steps[][3] = {
    { STEP ("a", STEP_FORWARD, NULL), STEP ("a", STEP_FORWARD, NULL) },
    { STEP ("a", STEP_FORWARD, NULL), STEP ("b", STEP_ALWAYS, NULL) },
    { STEP ("a", STEP_FORWARD, NULL), STEP ("b", STEP_ALWAYS, "c") },
    { STEP ("a", STEP_ALWAYS, "b"), STEP ("b", STEP_FORWARD, NULL) },
    { STEP ("a", STEP_FORWARD, NULL), STEP ("b", STEP_FORWARD, "a") },
    { STEP (NULL, STEP_FORWARD, NULL) },
  };
  g_autofree char *folder = folder_new ();
  g_autofree char *path = g_build_filename (folder, "journal", NULL);
  Journal *journal = journal_open (path, NULL);
  Engine *engine = engine_new (journal);

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      const Workflow workflow = {
        .kind = "w", .steps = steps[i], .job_new = patient_new, .decide = patient_decide,
      };

      g_test_expect_message (NULL, G_LOG_LEVEL_CRITICAL, "*is_sound*");
      engine_register (engine, &workflow, NULL);
      g_test_assert_expected_messages ();
    }

  g_object_unref (engine);
  g_object_unref (journal);
  folder_remove (folder);
}

#define ADD(name, func) g_test_add ("/engine/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("claims", test_claims);
  ADD ("operation-holds-disks", test_operation_holds_disks);
  ADD ("repeated", test_repeated);
  ADD ("unknown-kind", test_unknown_kind);
  ADD ("list-and-signal", test_list_and_signal);
  ADD ("many", test_many);
  ADD ("shared-write-fails", test_shared_write_fails);
  ADD ("pruned-at-load", test_pruned_at_load);
  ADD ("not-pruned-at-load", test_not_pruned_at_load);
  ADD ("pruned-later", test_pruned_later);
  ADD ("open-waits", test_open_waits);
  ADD ("cancel-open", test_cancel_open);
  ADD ("cancel-open-again", test_cancel_open_again);
  ADD ("cancel-open-refused", test_cancel_open_refused);
  ADD ("open-of-another-version", test_open_of_another_version);
  ADD ("decisions", test_decisions);
  ADD ("resumed-from-earlier", test_resumed_from_earlier);
  ADD ("needless-step", test_needless_step);
  ADD ("resume-ahead", test_resume_ahead);
  ADD ("recover-while-recovering", test_recover_while_recovering);
  g_test_add_func ("/engine/unsound-tables", test_unsound_tables);

  return g_test_run ();
}
